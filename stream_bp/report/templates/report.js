"use strict";
// Draws the figures, moves those over the stream together, and fetches new data if the page is served.
(() => {
  const page = document.documentElement;
  const isDark = matchMedia("(prefers-color-scheme: dark)");
  const isNarrow = matchMedia("(max-width: 640px)");
  const isCoarse = matchMedia("(pointer: coarse)");
  let told = JSON.parse(document.getElementById("told").textContent);
  let axis = "rows";
  let range = null; // along the stream, as numbers; null for all of it
  let version = 0; // of the range: plotly keeps the zoom of a user while this is unchanged
  let resets = 0; // how often the zoom was reset; a reset also undoes the zoom of the y axis
  let isOurs = false; // the script changes a range now: the events of plotly are then not those of a user

  const own = (id) => document.getElementById(`plot-${id}`);
  const isStreamed = (plot) => plot.axis === "both";
  const isDate = () => axis === "time" && told.time_type === "date";
  const number = (value) => (typeof value === "string" ? Date.parse(`${value.replace(" ", "T")}Z`) : value);
  const written = (value) => (isDate() ? new Date(value).toISOString() : value);

  function colours() {
    const style = getComputedStyle(page);
    const of = (name) => style.getPropertyValue(`--${name}`).trim();
    return { ink: of("ink"), soft: of("soft"), line: of("line"), grid: of("grid"), ground: of("ground") };
  }

  function xOf(streamed, colour, given) {
    const x = { gridcolor: colour.grid, linecolor: colour.line, zeroline: false, automargin: true, ...given };
    if (!streamed) return x;
    x.type = isDate() ? "date" : "linear";
    x.title = { text: axis === "time" ? told.time_title : "rows" };
    x.uirevision = `${axis} ${version}`;
    x.range = shown().map(written);
    return x;
  }

  /** Return about how many lines a legend takes. The figure gets higher by them, so that its plot keeps its height. */
  function legendLines(plot, width) {
    const names = plot.figure.data.map((trace) => (trace.name || "").length);
    const column = 60 + 7 * Math.max(...names);
    return names.length > 1 ? Math.ceil(names.length / Math.max(1, Math.floor((width - 60) / column))) : 0;
  }

  const squareHeight = (plot) => (plot.figure.data[0].x.length > 12 ? 520 : 400);

  function layoutOf(plot, isPrinted) {
    const colour = colours();
    const given = plot.figure.layout;
    const streamed = isStreamed(plot);
    const isSquare = given.meta && given.meta.square;
    const isDense = isSquare && isNarrow.matches && plot.figure.data[0].x.length > 12; // labels would overlap
    const width = isPrinted ? (plot.is_wide ? 660 : 320) : own(plot.id).clientWidth;
    const height = (isPrinted ? 170 : isSquare ? squareHeight(plot) : 260) + 18 * legendLines(plot, width);
    return {
      ...given,
      height,
      width: isPrinted ? width : undefined,
      autosize: !isPrinted,
      margin: { l: 52, r: 10, t: 8, b: 40 },
      font: { family: getComputedStyle(document.body).fontFamily, size: isPrinted ? 9 : 12, color: colour.ink },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      showlegend: plot.figure.data.length > 1,
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" },
      hovermode: given.hovermode || (streamed ? "x unified" : "closest"),
      hoverlabel: { bgcolor: colour.ground, bordercolor: colour.line, font: { color: colour.ink } },
      dragmode: isCoarse.matches ? false : "zoom",
      uirevision: `${plot.id} ${resets}`,
      xaxis: xOf(streamed, colour, isDense ? { ...given.xaxis, tickfont: { size: 9 } } : given.xaxis),
      yaxis: { gridcolor: colour.grid, linecolor: colour.line, zeroline: false, automargin: true, ...given.yaxis },
      yaxis2: { overlaying: "y", range: [0, 1], fixedrange: true, visible: false },
    };
  }

  function tracesOf(plot) {
    return plot.figure.data.map((trace) => {
      const name = trace.meta && trace.meta.axis;
      const drawn = name === undefined ? { ...trace } : { ...trace, x: told.axes[name][axis] };
      if (trace.type === "heatmap") drawn.textfont = { color: colours().ink };
      return drawn;
    });
  }

  const config = { displayModeBar: false, responsive: true, showTips: false, plotlyServerURL: "" };

  function draw(plot, isPrinted = false) {
    const place = own(plot.id);
    const isNew = !place.classList.contains("js-plotly-plot");
    const how = { ...config, doubleClick: isStreamed(plot) ? false : "reset+autosize" };
    const done = Plotly.react(place, tracesOf(plot), layoutOf(plot, isPrinted), how);
    if (isNew && isStreamed(plot)) {
      place.on("plotly_relayout", (change) => {
        if (isOurs) return;
        if (change["xaxis.range[0]"] !== undefined)
          show([number(change["xaxis.range[0]"]), number(change["xaxis.range[1]"])]);
      });
      place.on("plotly_doubleclick", () => move("whole"));
    }
    return done;
  }

  async function drawAll(isPrinted = false) {
    isOurs = true;
    await Promise.all(told.plots.map((plot) => draw(plot, isPrinted)));
    isOurs = false;
    page.dataset.drawn = String(Number(page.dataset.drawn || 0) + 1);
  }

  // The range along the stream

  function ends() {
    let [first, last] = [Infinity, -Infinity];
    for (const plot of told.plots.filter(isStreamed))
      for (const trace of plot.figure.data) {
        const at = told.axes[trace.meta.axis][axis].filter((value) => value !== null);
        for (const value of at) { // not only the two ends: a clock may be set back, or rows learned again
          first = Math.min(first, value);
          last = Math.max(last, value);
        }
      }
    return first < last ? [first, last] : [first - 1, first + 1];
  }

  const shown = () => range || ends();

  function show(wanted) {
    range = wanted;
    version += 1;
    return drawAll();
  }

  function move(how) {
    const whole = ends();
    const [first, last] = shown();
    const size = last - first;
    const middle = (first + last) / 2;
    if (how === "whole") {
      resets += 1;
      return show(null);
    }
    if (how === "in") return show([middle - size / 4, middle + size / 4]);
    if (how === "left") return show([first - size / 4, last - size / 4]);
    if (how === "right") return show([first + size / 4, last + size / 4]);
    return size * 2 >= whole[1] - whole[0] ? show(null) : show([middle - size, middle + size]);
  }

  /** Convert a place on one axis to the other, by interpolation between the history lines. */
  function converted(value, from, to) {
    const name = Object.keys(told.axes).find((one) => one.startsWith("history"));
    const known = told.axes[name][from].map((at, i) => [at, told.axes[name][to][i]]);
    const line = known.filter(([at, other]) => at !== null && other !== null);
    const after = line.findIndex(([at]) => at >= value);
    if (after < 0) return line.length ? line[line.length - 1][1] : null;
    if (after === 0) return line[0][1];
    const [[a, b], [c, d]] = [line[after - 1], line[after]];
    return c > a ? b + ((value - a) / (c - a)) * (d - b) : d;
  }

  function turn(wanted) {
    const between = range && range.map((value) => converted(value, axis, wanted));
    axis = wanted;
    return show(between && between[1] > between[0] ? between : null);
  }

  // Refresh

  function fragment(html) {
    const made = document.createElement("template");
    made.innerHTML = html; // safe: made by the server's template, which escapes all text from data
    return made.content;
  }

  function place(plot) {
    const fresh = fragment(plot.html).firstElementChild;
    const there = document.getElementById(fresh.id);
    if (!there) {
      const group = document.getElementById(`group-${plot.group}`);
      group.hidden = false;
      group.querySelector(".figures").append(fresh);
      return;
    }
    for (const part of ["figcaption", "table"]) there.querySelector(part).replaceWith(fresh.querySelector(part));
  }

  async function refresh() {
    const state = document.getElementById("state");
    try {
      const answer = await fetch(`told.json?tag=${encodeURIComponent(told.tag)}`, { cache: "no-store" });
      if (answer.status === 200) {
        told = await answer.json();
        document.getElementById("summary").replaceChildren(fragment(told.summary));
        document.getElementById("tables").replaceChildren(fragment(told.tables));
        document.querySelector("input[value=time]").disabled = !told.has_time;
        document.title = told.title;
        const ids = new Set(told.plots.map((plot) => `figure-${plot.id}`));
        for (const figure of document.querySelectorAll("figure")) if (!ids.has(figure.id)) figure.remove();
        for (const group of document.querySelectorAll("main > section[id^=group-]"))
          group.hidden = !group.querySelector("figure");
        told.plots.forEach(place);
        await drawAll();
      } else if (answer.status !== 204) throw new Error(answer.statusText);
      if (state.className) state.className = "";
      if (state.textContent !== "live") state.textContent = "live";
    } catch {
      state.className = "lost";
      state.textContent = "no longer served";
    }
    setTimeout(refresh, 1000 * told.again_s);
  }

  // User input

  for (const input of document.querySelectorAll("input[name=axis]"))
    input.addEventListener("change", () => turn(input.value));
  for (const button of document.querySelectorAll("[data-do]"))
    button.addEventListener("click", () => move(button.dataset.do));
  const keys = { "+": "in", "=": "in", "-": "out", "−": "out", ArrowLeft: "left", ArrowRight: "right", 0: "whole" };
  document.addEventListener("keydown", (event) => {
    if (!event.target.classList.contains("frame") || !(event.key in keys)) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    move(keys[event.key]);
  });
  isDark.addEventListener("change", () => drawAll());
  isNarrow.addEventListener("change", () => drawAll());
  addEventListener("beforeprint", () => {
    page.classList.add("printing");
    drawAll(true);
  });
  addEventListener("afterprint", () => {
    page.classList.remove("printing");
    drawAll();
  });

  const checked = document.querySelector("input[name=axis]:checked"); // the Back button of a browser restores it
  axis = checked && !checked.disabled ? checked.value : "rows";
  drawAll().then(() => told.again_s && setTimeout(refresh, 1000 * told.again_s));
})();

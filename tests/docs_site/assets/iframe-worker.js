// Search runs in a worker, and a browser refuses workers to pages that are opened as files. This stands in for one:
// the worker's script runs in a hidden frame, and messages are handed over. Pages that come from a server keep theirs.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    #frame = document.createElement("iframe");
    #ready;

    constructor(url) {
      super();
      this.#frame.hidden = true;
      this.#ready = new Promise((resolve) => {
        this.#frame.onload = () => {
          const inside = this.#frame.contentWindow;
          inside.postMessage = (data) =>
            queueMicrotask(() => this.dispatchEvent(new MessageEvent("message", { data })));
          inside.importScripts = (...urls) => urls.reduce((before, one) => before.then(() => this.#load(one)), Promise.resolve());
          this.#load(String(url)).then(() => resolve(inside));
        };
      });
      document.body.append(this.#frame);
    }

    #load(url) {
      return new Promise((resolve, reject) => {
        const script = this.#frame.contentDocument.createElement("script");
        script.src = url;
        script.onload = resolve;
        script.onerror = reject;
        this.#frame.contentDocument.body.append(script);
      });
    }

    postMessage(data) {
      this.#ready.then((inside) => inside.dispatchEvent(new MessageEvent("message", { data })));
    }

    terminate() {
      this.#frame.remove();
    }
  };
}

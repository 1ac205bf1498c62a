"""Where records end, against a state machine that goes byte by byte: for any text, well-formed or not."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors.formats.csv.records import count_records, record_ends, whole_records

TEXTS = st.lists(st.sampled_from([b"a", b'"', b",", b"\n", b"\r", b"\r\n", b'""', b'"\n']), max_size=14).map(b"".join)


def walk(text: bytes) -> tuple[list[int], bool]:
    """Return where records end, and whether the text ends within quotes: slow, and plainly by the rules."""
    ends, start, position, state = [], 0, 0, "field"
    while position < len(text):
        byte = text[position : position + 1]
        position += 1
        if state == "quoted":
            if byte == b'"' and text[position : position + 1] == b'"':
                position += 1
            elif byte == b'"':
                state = "letters"
        elif byte in b"\r\n":
            is_blank = position - 1 == start
            position += byte == b"\r" and text[position : position + 1] == b"\n"
            ends += [] if is_blank else [position]
            start, state = position, "field"
        elif byte == b",":
            state = "field"
        else:
            state = "quoted" if state == "field" and byte == b'"' else "letters"
    if state != "quoted" and start < len(text):
        ends.append(len(text))
    return ends, state == "quoted"


@settings(max_examples=600, derandomize=True, deadline=None)
@given(text=TEXTS)
@example(text=b'5" pipe,3\n"x\ny"\n')
@example(text=b'"ab"c"d\n",\n')
@example(text=b"a\r")
def test_record_ends_are_those_of_the_state_machine(text: bytes) -> None:
    """Also where a quote stands within a field and is a letter, and where one is never closed."""
    ends, is_open = walk(text)
    assert record_ends(text, is_last=True).tolist() == ends
    assert count_records(text, is_last=True) == len(ends)
    assert whole_records(text, is_last=True) == (ends[-1] if ends else 0)
    early = record_ends(text, is_last=False).tolist()
    assert early == ends[: len(early)]
    assert len(early) >= len(ends) - 1 - is_open
    assert whole_records(text, is_last=False) == (early[-1] if early else 0)


@settings(max_examples=400, derandomize=True, deadline=None)
@given(text=TEXTS, steps=st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_cutting_as_text_arrives_changes_nothing(text: bytes, steps: list[int]) -> None:
    """A carriage return, a pair of quotes, a record may be cut anywhere by whoever reads the file."""
    ends, pending, offset, position, turn = [], b"", 0, 0, 0
    is_last = False
    while not is_last:
        chunk = text[position : position + steps[turn % len(steps)]]
        position, turn, is_last = position + len(chunk), turn + 1, not chunk
        pending += chunk
        length = whole_records(pending, is_last)
        ends += [offset + end for end in record_ends(pending[:length], is_last=True).tolist()]
        pending, offset = pending[length:], offset + length
    assert ends == walk(text)[0]

"""Regular expressions of JSON Schema's `pattern`: read, matched and written without the `re` module.

A caller's pattern never reaches a backtracking engine, so no pattern can stop the server: matching walks all states at
once, in time (length of text) × (size of pattern). What is understood is the part on which ECMAScript and Python agree:
literals, escapes, classes, groups, alternatives, greedy and lazy quantifiers, anchors. Anything else is refused.
"""

from collections.abc import Iterator
from random import Random

import msgspec

PATTERN_CHARS_MAX = 1000
STATES_MAX = 2000
GROUPS_DEEP_MAX = 30
REPEAT_MAX = 1000
SAMPLE_CHARS_MAX = 1000

Ranges = tuple[tuple[int, int], ...]
_DIGIT: Ranges = ((48, 57),)
_WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE: Ranges = ((9, 13), (32, 32))
_CLASSES: dict[str, Ranges] = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_CONTROLS = {"t": 9, "n": 10, "r": 13, "f": 12, "v": 11, "0": 0}
_PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_PRINTABLE = _PLAIN + "".join(chr(c) for c in range(32, 127) if chr(c) not in _PLAIN)


class UnsupportedPatternError(ValueError):
    """The pattern uses something that is not understood; the message says what."""


class Chars(msgspec.Struct, frozen=True):
    """One character: any in `ranges`, or any outside them. `ascii_only` classes never match beyond ASCII."""

    ranges: Ranges
    negated: bool = False
    ascii_only: bool = False

    def accepts(self, char: str) -> bool:
        code = ord(char)
        if self.ascii_only and code > 127:
            return False
        return any(low <= code <= high for low, high in self.ranges) is not self.negated


class Anchor(msgspec.Struct, frozen=True):
    """The start (`^`) or the end (`$`) of the text."""

    at_start: bool


class InOrder(msgspec.Struct, frozen=True):
    items: "tuple[Node, ...]"


class Either(msgspec.Struct, frozen=True):
    options: "tuple[Node, ...]"


class Repeat(msgspec.Struct, frozen=True):
    node: "Node"
    least: int
    most: int | None


Node = Chars | Anchor | InOrder | Either | Repeat


class Pattern:
    """A pattern that was understood. Raises UnsupportedPatternError for one that is not."""

    def __init__(self, source: str) -> None:
        if len(source) > PATTERN_CHARS_MAX:
            raise UnsupportedPatternError(f"a pattern of more than {PATTERN_CHARS_MAX} characters")
        self.node = _Reader(source).read()
        self._program: list[tuple[object, ...]] = []
        self._compile(self.node)
        self._program.append(("end",))
        self.ascii_only = any(isinstance(state[-1], Chars) and state[-1].ascii_only for state in self._program)

    @property
    def size(self) -> int:
        """How many states it has: matching a text takes at most its length times this many steps."""
        return len(self._program)

    def matches(self, text: str) -> bool:
        """Whether the pattern is found anywhere in the text, as JSON Schema has it."""
        states: set[int] = set()
        for place in range(len(text) + 1):
            states = self._closure({0} | states, place, len(text))
            if any(self._program[state][0] == "end" for state in states):
                return True
            if place < len(text):
                states = {state + 1 for state in states if self._accepts(state, text[place])}
        return False

    def examples(self, random: Random, least: int, most: int | None) -> Iterator[str]:
        """Texts the pattern may match, between `least` and `most` characters long."""
        for extra in dict.fromkeys([0, 1, 2, 3, least // 2, least // 3, least - 1, least, -1, -2, -3, -4]):
            text = _Sample(random, extra if extra >= 0 else None, least).of(self.node)
            if len(text) < least:
                text += "a" * (least - len(text))
            if most is None or len(text) <= most:
                yield text

    def _accepts(self, state: int, char: str) -> bool:
        chars = self._program[state][-1]
        return isinstance(chars, Chars) and chars.accepts(char)

    def _closure(self, states: set[int], place: int, length: int) -> set[int]:
        """The states that consume a character or end, reachable without consuming one."""
        found: set[int] = set()
        seen: set[int] = set()
        waiting = list(states)
        while waiting:
            current = waiting.pop()
            if current in seen:
                continue
            seen.add(current)
            match self._program[current]:
                case ("split", int(first), int(second)):
                    waiting += [first, second]
                case ("jump", int(target)):
                    waiting.append(target)
                case ("anchor", bool(at_start)):
                    if place == (0 if at_start else length):
                        waiting.append(current + 1)
                case _:
                    found.add(current)
        return found

    def _compile(self, node: Node) -> None:
        program = self._program
        if len(program) > STATES_MAX:
            raise UnsupportedPatternError("so many repetitions")
        match node:
            case Chars():
                program.append(("chars", node))
            case Anchor():
                program.append(("anchor", node.at_start))
            case InOrder():
                for item in node.items:
                    self._compile(item)
            case Either():
                self._compile_either(node)
            case Repeat():
                self._compile_repeat(node)

    def _compile_either(self, node: Either) -> None:
        program, jumps = self._program, []
        for option in node.options[:-1]:
            split = len(program)
            program.append(())
            self._compile(option)
            jumps.append(len(program))
            program.append(())
            program[split] = ("split", split + 1, len(program))
        self._compile(node.options[-1])
        for jump in jumps:
            program[jump] = ("jump", len(program))

    def _compile_repeat(self, node: Repeat) -> None:
        program = self._program
        for _ in range(node.least):
            self._compile(node.node)
        if node.most is None:
            split = len(program)
            program.append(())
            self._compile(node.node)
            program.append(("jump", split))
            program[split] = ("split", split + 1, len(program))
            return
        splits = []
        for _ in range(node.most - node.least):
            splits.append(len(program))
            program.append(())
            self._compile(node.node)
        for split in splits:
            program[split] = ("split", split + 1, len(program))


class _Sample:
    """Writes one text a node matches: each repetition `extra` times more than it must, or at random when None."""

    def __init__(self, random: Random, extra: int | None, least: int) -> None:
        self._random = random
        self._extra = extra
        self._spread = max(least, 4)
        self._room = least + SAMPLE_CHARS_MAX

    def of(self, node: Node) -> str:
        match node:
            case Chars():
                self._room -= 1
                return _pick(node, self._random)
            case Anchor():
                return ""
            case InOrder():
                return "".join(self.of(item) for item in node.items)
            case Either():
                return self.of(self._random.choice(node.options))
            case Repeat():
                return self._repeat(node)

    def _repeat(self, node: Repeat) -> str:
        extra = self._random.randint(0, self._spread) if self._extra is None else self._extra
        times = node.least + extra if node.most is None else min(node.least + extra, node.most)
        pieces = []
        for count in range(times):
            if count >= node.least and self._room <= 0:
                break
            self._room -= 1
            pieces.append(self.of(node.node))
        return "".join(pieces)


def _pick(chars: Chars, random: Random) -> str:
    for alphabet in (_PLAIN, _PRINTABLE):
        fitting = [char for char in alphabet if chars.accepts(char)]
        if fitting:
            return random.choice(fitting)
    if chars.negated or not chars.ranges:
        raise UnsupportedPatternError("a class that no printable character is in")
    return chr(chars.ranges[0][0])


class _Reader:
    """Reads a pattern from left to right."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._place = 0
        self._deep = 0

    def read(self) -> Node:
        node = self._either()
        if self._place < len(self._source):
            raise UnsupportedPatternError("an unmatched )")
        return node

    def _peek(self) -> str:
        return self._source[self._place] if self._place < len(self._source) else ""

    def _next(self) -> str:
        char = self._peek()
        if not char:
            raise UnsupportedPatternError("an unfinished group, class or escape")
        self._place += 1
        return char

    def _either(self) -> Node:
        options = [self._sequence()]
        while self._peek() == "|":
            self._place += 1
            options.append(self._sequence())
        return options[0] if len(options) == 1 else Either(tuple(options))

    def _sequence(self) -> Node:
        items: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            items.append(self._repeated(self._atom()))
        return items[0] if len(items) == 1 else InOrder(tuple(items))

    def _atom(self) -> Node:
        char = self._next()
        match char:
            case "(":
                return self._group()
            case "[":
                return self._class()
            case ".":
                return Chars(((10, 10), (13, 13), (0x2028, 0x2029)), negated=True)
            case "^" | "$":
                return Anchor(char == "^")
            case "\\":
                return self._escape()
            case "*" | "+" | "?":
                raise UnsupportedPatternError(f"a {char} with nothing to repeat")
        return Chars(((ord(char), ord(char)),))

    def _group(self) -> Node:
        self._deep += 1
        if self._deep > GROUPS_DEEP_MAX:
            raise UnsupportedPatternError("groups nested so deeply")
        if self._peek() == "?":
            self._place += 1
            if self._next() != ":":
                raise UnsupportedPatternError("a lookaround, named group or flag")
        node = self._either()
        if self._next() != ")":
            raise UnsupportedPatternError("an unfinished group")
        self._deep -= 1
        return node

    def _repeated(self, node: Node) -> Node:
        bounds = self._bounds()
        if bounds is None:
            return node
        if isinstance(node, Anchor):
            raise UnsupportedPatternError("a repeated anchor")
        if self._peek() == "?":
            self._place += 1
        elif self._peek() == "+" or self._bounds() is not None:
            raise UnsupportedPatternError("a repeated quantifier")
        return Repeat(node, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        char = self._peek()
        if char and char in "*+?":
            self._place += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
        if char != "{":
            return None
        inside, closed, _ = self._source[self._place + 1 :].partition("}")
        low, comma, high = inside.partition(",")
        if not closed or not _digits(low) or (high and not _digits(high)):
            raise UnsupportedPatternError("a { that is not a quantifier")
        self._place += len(inside) + 2
        least = int(low)
        most = int(high) if high else None if comma else least
        if max(least, most or 0) > REPEAT_MAX or (most is not None and most < least):
            raise UnsupportedPatternError(f"a quantifier {{{inside}}}")
        return least, most

    def _escape(self) -> Chars:
        char = self._next()
        if char.lower() in _CLASSES:
            return Chars(_CLASSES[char.lower()], negated=char.isupper(), ascii_only=True)
        code = self._escaped_code(char)
        return Chars(((code, code),))

    def _escaped_code(self, char: str) -> int:
        if char in ("x", "u"):
            width = 2 if char == "x" else 4
            digits = "".join(self._next() for _ in range(width))
            if not all(digit in "0123456789abcdefABCDEF" for digit in digits):
                raise UnsupportedPatternError(f"the escape \\{char}{digits}")
            return int(digits, 16)
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char.isalnum():
            raise UnsupportedPatternError(f"the escape \\{char}")
        return ord(char)

    def _class(self) -> Chars:
        negated = self._peek() == "^"
        if negated:
            self._place += 1
        if self._peek() == "]":
            raise UnsupportedPatternError("an empty class")
        ranges: list[tuple[int, int]] = []
        ascii_only = False
        while self._peek() != "]":
            low = self._class_item()
            if isinstance(low, tuple):
                ranges += low
                ascii_only = True
                continue
            if self._peek() == "-" and self._source[self._place + 1 : self._place + 2] not in ("]", ""):
                self._place += 1
                high = self._class_item()
                if isinstance(high, tuple) or high < low:
                    raise UnsupportedPatternError("a class range that ends before it starts")
                ranges.append((low, high))
            else:
                ranges.append((low, low))
        self._place += 1
        return Chars(tuple(ranges), negated, ascii_only)

    def _class_item(self) -> int | Ranges:
        char = self._next()
        if char != "\\":
            return ord(char)
        char = self._next()
        if char in _CLASSES:
            return _CLASSES[char]
        if char.lower() in _CLASSES:
            raise UnsupportedPatternError(f"the escape \\{char} inside a class")
        return self._escaped_code(char)


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 6

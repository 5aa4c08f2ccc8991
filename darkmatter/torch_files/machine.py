"""The data.pkl of a torch file, read by a machine that knows tensors and runs nothing.

A pickle is a program. Python's own unpickler imports and calls what the file names, and torch's restricted one
(`torch.load(weights_only=True)`) has been got round more than once, so neither is used. Every opcode of the file is
held against a list first. Then the machine below executes them: what it makes are strings, numbers, tuples, lists,
dicts and records of tensors, whatever the file says. It imports nothing and calls nothing but itself.
"""

import pickletools
from collections.abc import Iterator
from typing import Any

from darkmatter.torch_files.records import Name, Ordered, check_name, damaged, made, refused, storage_of

WITHOUT_EFFECT = {"PROTO", "FRAME"}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
ARGUMENTS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
PUTS, GETS = {"BINPUT", "LONG_BINPUT", "MEMOIZE"}, {"BINGET", "LONG_BINGET"}
CONTAINERS = {"MARK", "TUPLE", "EMPTY_LIST", "EMPTY_DICT", "APPEND", "APPENDS", "SETITEM", "SETITEMS"}
TENSORS = {"GLOBAL", "STACK_GLOBAL", "BINPERSID", "REDUCE", "BUILD", "STOP"}
OPCODES = WITHOUT_EFFECT | CONSTANTS.keys() | ARGUMENTS | TUPLES.keys() | PUTS | GETS | CONTAINERS | TENSORS
LONGEST_KEY = 200  # characters: names of nested tensors repeat it


def read_pickle(content: bytes, where: str) -> Any:
    """What a data.pkl describes, with a `View` for each tensor.

    Raises:
        ArtifactError: it holds something else than tensors in dicts and lists, or is damaged; nothing of it has run.
    """
    check_opcodes(content, where)
    try:
        return Machine(where).run(content)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise damaged(where, f"{type(error).__name__}: {error}") from error


def check_opcodes(content: bytes, where: str) -> None:
    end: int | None = -1
    for opcode, argument, place in opcodes(content, where):
        end = place
        if opcode not in OPCODES:
            raise refused(where, f"the opcode {opcode}")
        if opcode == "GLOBAL":
            check_name(Name(*argument.split(" ", 1)), where)
    if end != len(content) - 1:
        raise damaged(where, "bytes after its end")


def opcodes(content: bytes, where: str) -> Iterator[tuple[str, Any, int | None]]:
    """(name, argument, place) of each opcode; pickletools parses and executes nothing."""
    try:
        for opcode, argument, place in pickletools.genops(content):
            yield opcode.name, argument, place
    except (ValueError, AttributeError, UnicodeError) as error:
        raise damaged(where, str(error)) from error


class Machine:
    """A stack, marks in it and a memo, as in Python's unpickler."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, content: bytes) -> Any:
        for opcode, argument, _ in opcodes(content, self.where):
            if opcode == "STOP":
                break
            self.execute(opcode, argument)
        (result,) = self.stack
        return result

    def execute(self, opcode: str, argument: Any) -> None:
        push = self.stack.append
        if opcode in WITHOUT_EFFECT:
            return
        if opcode in CONSTANTS:
            push(CONSTANTS[opcode])
        elif opcode in ARGUMENTS:
            push(argument)
        elif opcode in TUPLES:
            push(tuple([self.pop() for _ in range(TUPLES[opcode])][::-1]))
        elif opcode in GETS:
            push(self.memo[argument])
        elif opcode in PUTS:
            self.put(len(self.memo) if opcode == "MEMOIZE" else argument)
        elif opcode in CONTAINERS:
            self.contain(opcode)
        elif opcode == "BUILD":
            self.check_state(self.pop())
        else:
            push(self.of_tensors(opcode, argument))

    def pop(self) -> Any:
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise IndexError("a value below the last mark")
        return self.stack.pop()

    def since_mark(self) -> list[Any]:
        start = self.marks.pop()
        result = self.stack[start:]
        del self.stack[start:]
        return result

    def put(self, place: int) -> None:
        if place in self.memo:
            raise ValueError(f"memo {place} is written twice")
        self.memo[place] = self.stack[-1]

    def contain(self, opcode: str) -> None:
        match opcode:
            case "MARK":
                self.marks.append(len(self.stack))
            case "TUPLE":
                result = self.since_mark()
                self.stack.append(tuple(result))
            case "EMPTY_LIST":
                self.stack.append([])
            case "EMPTY_DICT":
                self.stack.append({})
            case "APPEND" | "APPENDS":
                result = [self.pop()] if opcode == "APPEND" else self.since_mark()
                if type(self.stack[-1]) is not list:
                    raise TypeError("something is appended to what is no list")
                self.stack[-1].extend(result)
            case _:
                result = [self.pop(), self.pop()][::-1] if opcode == "SETITEM" else self.since_mark()
                self.set_items(self.stack[-1], result)

    def set_items(self, target: Any, results: list[Any]) -> None:
        if type(target) not in (dict, Ordered):
            raise TypeError("items are set in what is no dict")
        for key, value in zip(results[::2], results[1::2], strict=True):
            if type(key) not in (str, int) or len(str(key)) > LONGEST_KEY:
                raise TypeError(f"a key of type {type(key).__name__}, or longer than {LONGEST_KEY} characters")
            if key in target:
                raise ValueError(f"{key!r} appears twice")
            target[key] = value

    def check_state(self, state: Any) -> None:
        """A module's state dict carries `_metadata`, versions of its parts; it is left out."""
        if type(self.stack[-1]) is not Ordered or type(state) is not dict or state.keys() != {"_metadata"}:
            raise refused(self.where, "the state of an object")

    def of_tensors(self, opcode: str, argument: Any) -> Any:
        match opcode:
            case "GLOBAL":
                return check_name(Name(*argument.split(" ", 1)), self.where)
            case "STACK_GLOBAL":
                name, module = self.pop(), self.pop()
                return check_name(Name(str(module), str(name)), self.where)
            case "BINPERSID":
                return storage_of(self.pop())
            case _:
                arguments, name = self.pop(), self.pop()
                return made(name, arguments, self.where)

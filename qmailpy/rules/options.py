"""Options of a command line, as every program of qmail reads them.

Letters cluster (-abc), an argument may be attached or the next word, -- ends the options and is consumed, a lone -
is no option, and the first word that is none ends them. Source: spec/00-common.md 9.
"""


class UsageError(Exception):
    """A command line that cannot be read.  text: for fd 2, after the program's name and a colon."""

    def __init__(self, text: bytes) -> None:
        """text: without LF."""
        super().__init__(text)
        self.text = text


def parse(words: list[bytes], letters: bytes) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
    """Options in their order, each a letter and its argument (empty where it has none), and the other words.

    letters: the ones that are known; a colon follows one that has an argument, a semicolon one that has it only
    where it is attached.  Errors: UsageError.
    """
    options: list[tuple[bytes, bytes]] = []
    left = words[::-1]
    while left and left[-1].startswith(b"-") and left[-1] != b"-":
        word = left.pop()
        if word == b"--":
            break
        at = 1
        while at < len(word):
            letter = word[at : at + 1]
            at += 1
            place = -1 if letter in b":;" else letters.find(letter)
            if place < 0:
                raise UsageError(b"illegal option -- " + letter)
            value, kind = b"", letters[place + 1 : place + 2]
            if kind in (b":", b";"):
                value, at = word[at:], len(word)
            if kind == b":" and not value:
                if not left:
                    raise UsageError(b"option requires an argument -- " + letter)
                value = left.pop()
            options.append((letter, value))
    return options, left[::-1]

"""A cursor over one query parameter, with the lexical rules that all parameters share."""

import re

from local_stack.rest.errors import RequestError
from local_stack.rest.syntax import JsonStep

_IDENTIFIER = re.compile(r"[\w $]+")
_INDEX = re.compile(r"-?[0-9]+(?=->|::|[.,)]|$)")
_SPACES = " \t"


class ParseError(Exception):
    """The text does not follow the grammar at ``position`` (0-based)."""

    def __init__(self, position: int, details: str) -> None:
        self.position = position
        self.details = details
        super().__init__(details)

    def refusal(self, label: str, shift: int = 0) -> RequestError:
        """Turn into the error a client gets; ``label`` says which parameter failed."""
        column = max(self.position - shift, 0) + 1
        return RequestError(
            "PGRST100", f'"{label}" (line 1, column {column})', details=self.details
        )


class Scanner:
    """Reads tokens from left to right; ``position`` may be saved and put back."""

    __slots__ = ("position", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    @property
    def at_end(self) -> bool:
        """Whether all text is read."""
        return self.position >= len(self.text)

    def peek(self) -> str:
        """Return the next character, or an empty string at the end."""
        return self.text[self.position : self.position + 1]

    def starts(self, token: str) -> bool:
        """Tell whether the token comes next."""
        return self.text.startswith(token, self.position)

    def accept(self, token: str) -> bool:
        """Read the token if it comes next."""
        if self.text.startswith(token, self.position):
            self.position += len(token)
            return True
        return False

    def expect(self, token: str) -> None:
        """Read the token or fail."""
        if not self.accept(token):
            raise self.failure(f'"{token}"')

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Read what the pattern matches here."""
        found = pattern.match(self.text, self.position)
        if found:
            self.position = found.end()
        return found

    def skip_spaces(self) -> None:
        """Read blanks and tabs."""
        while self.position < len(self.text) and self.text[self.position] in _SPACES:
            self.position += 1

    def failure(self, expecting: str) -> ParseError:
        """Describe what was found here and what would have been right."""
        found = f'"{self.peek()}"' if not self.at_end else "end of input"
        return ParseError(self.position, f"unexpected {found} expecting {expecting}")

    def quoted(self) -> str:
        """Read a double-quoted text; a backslash takes the next character as it is."""
        self.expect('"')
        out: list[str] = []
        while not self.at_end:
            char = self.text[self.position]
            self.position += 1
            if char == '"':
                return "".join(out)
            if char == "\\":
                char = self.peek()
                self.position += 1
            out.append(char)
        raise self.failure("'\"'")

    def identifier(self) -> str:
        """Read letters, digits, ``_``, ``$`` and inner blanks."""
        found = self.match(_IDENTIFIER)
        if not found:
            raise self.failure("field name (* or [a..z0..9_$])")
        return found.group().strip()

    def field_name(self) -> str:
        """Read a plain name (dashes allowed inside) or a quoted one."""
        if self.peek() == '"':
            return self.quoted()
        parts = [self.identifier()]
        while self.starts("-") and not self.starts("->"):
            self.position += 1
            parts.append(self.identifier())
        return "-".join(parts)

    def json_path(self) -> tuple[JsonStep, ...]:
        """Read any number of ``->`` and ``->>`` steps."""
        steps: list[JsonStep] = []
        while self.starts("->"):
            as_text = self.accept("->>") or not self.accept("->")
            index = self.match(_INDEX)
            if index:
                steps.append(JsonStep(index.group(), is_index=True, as_text=as_text))
            else:
                steps.append(JsonStep(self.field_name(), is_index=False, as_text=as_text))
        return tuple(steps)

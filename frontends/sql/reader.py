"""Reading a definition word by word.

    CREATE INDEX i ON t ((lower(a)) DESC) WHERE b > 3
    reader.accept("CREATE")   reader.name()   reader.parenthesized()   ...   reader.rest()

The grammar of definitions is small and regular, and sqlglot knows it only in part: what it does not know it skips or
hands back as text. So definitions are read here from the tokens, and what is not read is a syntax error. sqlglot gets
only the parts that are its business: expressions, types and queries (`Part`).
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phantomdb.core.query.errors import FeatureNotSupported, SyntaxFailure, UndefinedParameter
from phantomdb.core.values import Type
from phantomdb.frontends.sql.datatypes import is_serial, type_of
from phantomdb.frontends.sql.parse import MARK, Statement

if TYPE_CHECKING:
    from sqlglot.tokenizer_core import Token

# As PostgreSQL 15, appendix C: no name without quotes.
RESERVED = frozenset("""
    ALL ANALYSE ANALYZE AND ANY ARRAY AS ASC ASYMMETRIC BOTH CASE CAST CHECK COLLATE COLUMN CONSTRAINT CREATE
    CURRENT_CATALOG CURRENT_DATE CURRENT_ROLE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER DEFAULT DEFERRABLE DESC
    DISTINCT DO ELSE END EXCEPT FALSE FETCH FOR FOREIGN FROM GRANT GROUP HAVING IN INITIALLY INTERSECT INTO LATERAL
    LEADING LIMIT LOCALTIME LOCALTIMESTAMP NOT NULL OFFSET ON ONLY OR ORDER PLACING PRIMARY REFERENCES RETURNING
    SELECT SESSION_USER SOME SYMMETRIC TABLE THEN TO TRAILING TRUE UNION UNIQUE USER USING VARIADIC WHEN WHERE WINDOW
    WITH
    """.split())
_OPENING, _CLOSING = {"(", "[", "CASE"}, {")", "]", "END"}


@dataclass(frozen=True, slots=True)
class QualifiedName:
    """schema.name, with its place; no schema: ""."""

    schema: str
    name: str
    position: int

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


@dataclass(frozen=True, slots=True)
class Part:
    """Some tokens of a statement, one behind the other, at least one."""

    statement: Statement
    tokens: Sequence[Token]

    @property
    def text(self) -> str:
        """As it was written."""
        start = self.statement.start
        return self.statement.text[self.tokens[0].start - start:self.tokens[-1].end + 1 - start]

    @property
    def position(self) -> int:
        return self.tokens[0].start + 1

    def expression(self) -> Any:
        """SyntaxFailure, UndefinedParameter."""
        from sqlglot.tokenizer_core import TokenType as T
        made = self._parsed([self._token(T.SELECT, "SELECT"), self._token(T.L_PAREN, "("), *self.tokens,
                             self._token(T.R_PAREN, ")")])
        node = made.tree().expressions[0]
        self._no_parameters(made)
        if type(node).__name__ == "Tuple":
            raise SyntaxFailure("one expression is expected here", position=self.position)
        return node.this if type(node).__name__ == "Paren" else node

    def type(self) -> tuple[Type, bool]:
        """(type, whether it is one of the serial ones). SyntaxFailure, UndefinedObject, FeatureNotSupported."""
        from sqlglot.tokenizer_core import TokenType as T
        start = [self._token(kind, text) for kind, text in (
            (T.SELECT, "SELECT"), (T.VAR, "CAST"), (T.L_PAREN, "("), (T.NULL, "NULL"), (T.ALIAS, "AS"))]
        node = self._parsed([*start, *self.tokens, self._token(T.R_PAREN, ")")]).tree().expressions[0]
        if type(node).__name__ != "Cast" or {name for name, value in node.args.items() if value} != {"this", "to"}:
            raise SyntaxFailure(f'syntax error at or near "{self.text}": a type is expected', position=self.position)
        return type_of(node.args["to"], self.position), is_serial(node.args["to"])

    def query(self) -> tuple[Any, dict[int, list[Token]]]:
        """The tree of a query, and the AS OF clauses of its tables (parse.py). SyntaxFailure, UndefinedParameter."""
        made = self._parsed(list(self.tokens))
        node = made.tree()
        self._no_parameters(made)
        if type(node).__name__ not in ("Select", "Union", "Intersect", "Except", "Values", "Subquery"):
            raise SyntaxFailure(f'syntax error at or near "{self.tokens[0].text}": a query is expected',
                                position=self.position)
        return node, made.as_of

    def _parsed(self, tokens: list[Token]) -> Statement:
        return Statement(self.statement.text, (), tokens, self.statement.start)

    def _token(self, kind: Any, text: str) -> Token:
        from sqlglot.tokenizer_core import Token
        near = self.tokens[0] if text != ")" else self.tokens[-1]
        return Token(kind, text, near.line, near.col, near.start, near.end)

    def _no_parameters(self, made: Statement) -> None:
        if made.parameters:
            raise UndefinedParameter("a definition has no parameters; write the value into it", position=self.position)


class Reader:
    """Goes through a statement's tokens from left to right."""

    def __init__(self, statement: Statement) -> None:
        self.statement, self.tokens, self.index = statement, statement.tokens, 0

    # ---------------------------------------------------------------- words

    def word(self, ahead: int = 0) -> str:
        """The next word or symbol in upper case; "" at the end, and for names in quotes and constants."""
        if self.index + ahead >= len(self.tokens):
            return ""
        token = self.tokens[self.index + ahead]
        return "" if _is_quoted(token) else token.text.upper()

    def accept(self, *words: str) -> bool:
        """Goes over `words` if just these come next."""
        count = self._matched(words)
        self.index += count
        return count > 0

    def _matched(self, words: Sequence[str]) -> int:
        """How many tokens `words` are, if just these come next, else 0: PRIMARY KEY and the like are one token."""
        place = ahead = 0
        while place < len(words):
            found = self.word(ahead).split()
            if not found or list(words[place:place + len(found)]) != found:
                return 0
            place += len(found)
            ahead += 1
        return ahead

    def accept_any(self, *words: str) -> str:
        """Goes over the one of `words` that comes next; "" if none does."""
        found = self.word()
        if found not in words:
            return ""
        self.index += 1
        return found

    def expect(self, *words: str) -> None:
        if not self.accept(*words):
            raise self.failure()

    def is_at_end(self) -> bool:
        return self.index >= len(self.tokens)

    def end(self) -> None:
        """Nothing may follow."""
        if not self.is_at_end():
            raise self.failure()

    @property
    def position(self) -> int:
        token = self.tokens[min(self.index, len(self.tokens) - 1)]
        return (token.end + 2) if self.is_at_end() else token.start + 1

    def failure(self) -> SyntaxFailure:
        """That the next token is not what must stand there."""
        if self.is_at_end():
            return SyntaxFailure("syntax error at end of input", position=self.position)
        return SyntaxFailure(f'syntax error at or near "{self._shown()}"', position=self.position)

    def unsupported(self, what: str) -> FeatureNotSupported:
        return FeatureNotSupported(f"{what} is not supported", position=self.position)

    def refuse(self, *clauses: str) -> None:
        """FeatureNotSupported if one of the clauses, given by their first words, comes next."""
        for clause in clauses:
            if self._matched(clause.split(" ")):
                raise self.unsupported(clause)

    def _shown(self) -> str:
        return Part(self.statement, [self.tokens[self.index]]).text

    # ---------------------------------------------------------------- names and constants

    def name(self) -> str:
        """An identifier, folded as PostgreSQL does."""
        if self.is_at_end():
            raise self.failure()
        token = self.tokens[self.index]
        if token.token_type.name == "IDENTIFIER":
            found = token.text
        else:
            first = token.text[:1]
            is_word = (first.isalpha() or first == "_") and all(c.isalnum() or c in "_$" for c in token.text)
            if _is_quoted(token) or not is_word or token.text.upper() in RESERVED:
                raise self.failure()
            found = token.text.lower()
        if MARK in found:
            raise self.failure()
        self.index += 1
        return found

    def dotted(self) -> list[str]:
        """Names with a dot between them."""
        found = [self.name()]
        while self.accept("."):
            found.append(self.name())
        return found

    def qualified(self) -> QualifiedName:
        """name or schema.name."""
        position = self.position
        found = self.dotted()
        if len(found) > 2:
            raise FeatureNotSupported(f"cross-database references are not implemented: {'.'.join(found)}",
                                      position=position)
        return QualifiedName(found[0] if len(found) > 1 else "", found[-1], position)

    def names(self) -> tuple[str, ...]:
        """(a, b, ...)"""
        self.expect("(")
        found = [self.name()]
        while self.accept(","):
            found.append(self.name())
        self.expect(")")
        return tuple(found)

    def string(self) -> str:
        """A constant in quotes."""
        if self.is_at_end() or not _is_string(self.tokens[self.index]):
            raise self.failure()
        self.index += 1
        found: str = self.tokens[self.index - 1].text
        return found

    def number(self) -> float:
        """Not negative."""
        if self.is_at_end() or self.tokens[self.index].token_type.name != "NUMBER":
            raise self.failure()
        try:
            found = float(self.tokens[self.index].text)
        except ValueError:
            raise self.failure() from None
        self.index += 1
        return found

    def integer(self) -> int:
        """A whole number, with a sign or without."""
        sign = -1 if self.accept("-") else 1
        if sign > 0:
            self.accept("+")
        if self.is_at_end() or self.tokens[self.index].token_type.name != "NUMBER" or not self.word().isdecimal():
            raise self.failure()
        self.index += 1
        return sign * int(self.tokens[self.index - 1].text)

    # ---------------------------------------------------------------- parts

    def parenthesized(self) -> Part:
        """What stands between ( and its ), which are gone over."""
        self.expect("(")
        found = self.until({")"})
        self.expect(")")
        return found

    def until(self, stop: set[str]) -> Part:
        """All up to the first of `stop` outside of brackets and CASE, or the end; the first token may be of `stop`."""
        start, depth = self.index, 0
        while not self.is_at_end():
            word = self.word()
            if depth == 0 and word in stop and (self.index > start or word in (",", ")")):
                break
            depth += (word in _OPENING) - (word in _CLOSING)
            if depth < 0:
                break
            self.index += 1
        if self.index == start:
            raise self.failure()
        return Part(self.statement, self.tokens[start:self.index])

    def rest(self, *ending: str) -> Part:
        """All that is left, without the words of `ending`, which must be its last ones."""
        stop = len(self.tokens) - len(ending)
        if stop <= self.index:
            raise self.failure()
        found = Part(self.statement, self.tokens[self.index:stop])
        self.index = len(self.tokens)
        return found

    def ends_with(self, *words: str) -> bool:
        """Whether these are the statement's last words."""
        last = self.tokens[-len(words):]
        return len(self.tokens) - len(words) > self.index and all(
            not _is_quoted(token) and token.text.upper() == word for token, word in zip(last, words, strict=True))


def _is_string(token: Token) -> bool:
    return token.token_type.name.endswith("STRING")


def _is_quoted(token: Token) -> bool:
    return token.token_type.name == "IDENTIFIER" or _is_string(token)

"""Text to syntax trees: sqlglot's tokenizer and PostgreSQL parser, with the tokens put right in between.

    text -> tokens -> (mended tokens) -> sqlglot expression -> binder

sqlglot is made to translate between dialects. What it does for that, and what would change the meaning of a
statement here, is prevented at the tokens, which works with its compiled form as well as with the plain one:

- a function's name is marked, so that the call stays what was written (`Anonymous`) instead of becoming the
  function of another dialect that is nearly the same; `name_of` takes the mark off;
- the key after `->` is put in parentheses, so that it stays text and does not become a JSON path;
- `interval '...'` becomes `'...'::interval`, so that the text is read by our own rules;
- AS OF SYSTEM TIME and OVERRIDING, which sqlglot does not know, are taken out and kept beside the tree;
- parameters in any style (`?`, `:1`, `:name`) become `$1`, `$2`, ... in the order of the text; a `?` that follows an
  operand is the operator of jsonb;
- TRIM(BOTH FROM a) becomes TRIM(BOTH a).
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from phantomdb.core.query.errors import (
    CharacterNotInRepertoire, FeatureNotSupported, StatementTooComplex, SyntaxFailure,
)

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.tokenizer_core import Token

MAX_NESTING = 150                        # parentheses, CASE and prefix operators inside each other
MAX_OPEN_JOINS = 12                      # a JOIN b JOIN c ...: sqlglot tries two ways for each that has no ON yet
MAX_TEXT_CHARACTERS = 64 << 20
MAX_PARAMETERS = 65_535

# Cannot stand in an identifier (we refuse it there).
MARK = "\x01"
# Calls with a grammar of their own, which sqlglot's parser must see as they are.
_SPECIAL_CALLS = {"CAST", "EXTRACT", "SUBSTRING", "TRIM", "POSITION", "OVERLAY", "XMLTABLE", "JSON_TABLE"}
# Words that may stand before a parenthesis and are no function.
_NO_CALLS = {"GROUP", "FILTER", "OVER", "WITHIN", "SETS", "ROLLUP", "CUBE", "KEY", "INCLUDE", "DEFERRABLE", "TO", "AS",
             "SOME", "PARTITION", "USING", "LATERAL", "ONLY", "ROWS", "UNIQUE", "BY", "OPTIONS", "MATERIALIZED", "OF",
             "IDENTITY", "ALWAYS", "RETURNING", "OPERATOR", "NOTHING", "INHERITS", "ORDINALITY", "CHECK", "REFERENCES",
             "EXCLUDE", "WITH", "STORED", "COLUMN", "ADD", "INTO", "FROM", "JOIN", "UPDATE", "TABLE", "EXISTS",
             "CONFLICT", "BERNOULLI", "SYSTEM"}
# Keywords after which an expression may begin; behind any other word `?` is an operator of jsonb.
_BEFORE_OPERAND = frozenset("""
    ALL AND ANY ARRAY AS ASC BETWEEN BOTH BY CASE COLLATE DEFAULT DESC DISTINCT DO ELSE ESCAPE EXCEPT EXECUTE EXISTS
    FETCH FILTER FIRST FOR FROM FULL GROUPS HAVING ILIKE IN INTERSECT INTERVAL INTO IS JOIN LEADING LIKE LIMIT NEXT NOT
    OF OFFSET ON ONLY OR ORDER OVER OVERLAPS RANGE RETURNING ROWS SELECT SET SIMILAR SOME SYMMETRIC TABLE THEN TIME TO
    TRAILING UNION USING VALUES WHEN WHERE WITH ZONE""".split())


@dataclass(slots=True)
class Statement:
    """One statement: its tree, or the tokens of one that is not sqlglot's business (see utility.py)."""

    text: str
    words: tuple[str, ...]               # the first words, in upper case
    tokens: list[Token]
    start: int = 0                       # of its first token in the whole text
    # both filled by tree():
    as_of: dict[int, list[Token]] = field(default_factory=dict)      # end of a table's name -> its AS OF
    parameters: list[int | str] = field(default_factory=list)        # what $1, $2, ... stand for: place or name
    overriding: str = ""                 # INSERT ... OVERRIDING SYSTEM or USER VALUE

    def tree(self) -> exp.Expr:
        """The syntax tree; SyntaxFailure with the position when there is none."""
        return _parse(self)


def name_of(node: Any) -> str:
    """An identifier as PostgreSQL folds it: lower case unless quoted."""
    if node is None:
        return ""
    if isinstance(node, bool):                               # the words true and false where a name is expected
        return str(node).lower()
    text: str = node if isinstance(node, str) else node.this if isinstance(node.this, str) else name_of(node.this)
    if text.startswith(MARK):
        return text[1:]
    return text if not isinstance(node, str) and node.args.get("quoted") else text.lower()


def position_of(node: Any) -> int | None:
    """Where a node begins in the text, in characters from 1; None when sqlglot did not keep it."""
    if node is None:
        return None
    starts = [part.meta["start"] for part in node.walk() if part.meta and "start" in part.meta]
    return min(starts) + 1 if starts else None


def split(text: str) -> list[Statement]:
    """The statements of a text."""
    from sqlglot.dialects.postgres import Postgres
    from sqlglot.errors import TokenError
    from sqlglot.tokenizer_core import TokenType

    if len(text) > MAX_TEXT_CHARACTERS:
        raise StatementTooComplex(f"a statement may have {MAX_TEXT_CHARACTERS} characters, not {len(text)}")
    if "\x00" in text or MARK in text:
        raise SyntaxFailure("a statement may not contain the characters U+0000 and U+0001")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise CharacterNotInRepertoire("half a surrogate pair is no character", position=error.start + 1) from None
    try:
        tokens = Postgres().tokenize(text)
    except TokenError as error:
        raise SyntaxFailure(f"the text cannot be read: {_first_line(error)}",
                            position=max(1, len(text))) from None
    statements: list[Statement] = []
    current: list[Token] = []
    for token in [*tokens, None]:
        if token is not None and token.token_type is not TokenType.SEMICOLON:
            current.append(token)
        elif current:
            statements.append(_statement(text, current))
            current = []
    return statements


def _statement(text: str, tokens: list[Token]) -> Statement:
    words = []
    for token in tokens[:4]:
        if not token.text.replace("_", "").isalpha():
            break
        words.append(token.text.upper())
    # sqlglot makes one token of all that follows a word it leaves alone: EXPLAIN ..., SHOW ...
    return Statement(text[tokens[0].start:tokens[-1].end + 1], tuple(words), tokens, tokens[0].start)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _parse(statement: Statement) -> exp.Expr:
    from sqlglot.dialects.postgres import Postgres
    from sqlglot.errors import ErrorLevel, ParseError, TokenError

    tokens = _mend(statement)
    try:
        dialect = Postgres()
        dialect.INDEX_OFFSET = 0         # subscripts as they were written
        trees = dialect.parser(error_level=ErrorLevel.IMMEDIATE).parse(tokens, statement.text)
    except ParseError as error:
        detail = error.errors[0] if error.errors else {}
        near = str(detail.get("highlight") or "").replace(MARK, "")
        position = None
        if detail.get("line"):
            position = _offset(statement, tokens, detail) + 1
        raise SyntaxFailure(f'syntax error at or near "{near}"' if near else "syntax error at end of input",
                            position=position) from None
    except (TokenError, RecursionError) as error:
        raise StatementTooComplex(_first_line(error)) from None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, AssertionError) as error:
        # sqlglot on a text it did not expect
        raise SyntaxFailure(f"syntax error ({_first_line(error)})") from error
    if len(trees) != 1 or trees[0] is None:
        raise SyntaxFailure("syntax error")
    return trees[0]


def _offset(statement: Statement, tokens: list[Token], detail: Any) -> int:
    for token in tokens:
        if token.line == detail["line"] and token.col == detail["col"]:
            return token.start
    return statement.start


def _mend(statement: Statement) -> list[Token]:
    """The statement's tokens as the parser is to see them."""
    from sqlglot.tokenizer_core import Token, TokenType as T

    given = statement.tokens
    count = len(given)
    result: list[Token] = []
    # sessions share statements: a tree may be made more than once, also at the same time
    parameters: dict[int | str, int] = {}                    # place or name -> its number here
    as_of: dict[int, list[Token]] = {}
    depth = deepest = prefixes = joins = 0
    after_operand = False                # what comes next stands behind a whole value
    callable_types = {T.VAR, T.LEFT, T.RIGHT, T.REPLACE, T.FORMAT, T.ROW, T.UNNEST, T.CURRENT_SCHEMA, T.FIRST, T.RANGE,
                      T.INDEX, T.TRUNCATE, T.MERGE, T.LOAD, T.DESC}
    prefix_types = {T.NOT, T.DASH, T.PLUS, T.TILDE}
    index = 0
    while index < count:
        token = given[index]
        kind = token.token_type
        following = given[index + 1] if index + 1 < count else None
        if kind in (T.L_PAREN, T.L_BRACKET, T.CASE):
            depth += 1
            deepest = max(deepest, depth)
        elif kind in (T.R_PAREN, T.R_BRACKET, T.END):
            depth = max(0, depth - 1)
        prefixes = prefixes + 1 if kind in prefix_types else 0
        if kind is T.JOIN and _needs_condition(given, index):
            joins += 1
            if joins > MAX_OPEN_JOINS:
                raise StatementTooComplex(f"more than {MAX_OPEN_JOINS} joins wait for ON or USING",
                                          position=token.start + 1)
        elif kind in (T.ON, T.USING, T.SELECT):
            joins = max(0, joins - 1) if kind is not T.SELECT else 0
        if (kind is T.L_PAREN and following is not None and following.token_type is T.FROM
                and not (index and given[index - 1].text.upper() == "TRIM")):
            # no SQL of ours, but of another dialect sqlglot reads; one in the other it takes exponential time
            raise SyntaxFailure('syntax error at or near "FROM"', position=following.start + 1)
        if max(deepest, prefixes) > MAX_NESTING:
            raise StatementTooComplex(f"nested more than {MAX_NESTING} deep", position=token.start + 1)
        upper = token.text.upper()
        key = None if after_operand else _parameter(token, following)
        if (kind is T.COMMAND and index == 0) or token.text == "@":
            raise FeatureNotSupported(f"{upper or token.text} is not supported here", position=token.start + 1)
        if (kind in callable_types and following is not None and following.token_type is T.L_PAREN
                and upper not in _SPECIAL_CALLS and upper not in _NO_CALLS
                and not (index and given[index - 1].token_type is T.FETCH)):
            result.append(Token(T.IDENTIFIER, MARK + token.text.lower(), token.line, token.col, token.start,
                                token.end))
        elif kind in (T.ARROW, T.DARROW) and following is not None and following.token_type in (T.STRING, T.NUMBER):
            result += [token, _like(following, T.L_PAREN, "("), following, _like(following, T.R_PAREN, ")")]
            index += 1
        elif (kind is T.INTERVAL and following is not None and following.token_type is T.STRING
              and not _is_unit(given[index + 2] if index + 2 < count else None)):
            result += [following, _like(token, T.DCOLON, "::"), token]
            index += 1
        elif token.text == "?::":                            # one word to sqlglot
            result += _numbered(parameters, None, token)
            result.append(_like(token, T.DCOLON, "::"))
        elif kind is T.FROM and _is_trim(given, index):
            pass
        elif key is not None:
            name, used = key
            result += _numbered(parameters, name, token)
            index += used - 1
        elif upper == "OVERRIDING" and [t.text.upper() for t in given[index + 1:index + 3]][1:] == ["VALUE"]:
            statement.overriding = given[index + 1].text.upper()
            index += 2
        elif upper == "AS" and [t.text.upper() for t in given[index + 1:index + 4]] == ["OF", "SYSTEM", "TIME"]:
            stop = _end_of_moment(given, index + 4)
            as_of[given[index - 1].end] = given[index + 4:stop]
            index = stop - 1
        else:
            result.append(token)
        after_operand = key is not None or _ends_operand(given[index])       # the last one taken
        index += 1
    statement.parameters, statement.as_of = list(parameters), as_of
    return result


def _needs_condition(tokens: list[Token], index: int) -> bool:
    """Whether the JOIN there is neither CROSS nor NATURAL."""
    from sqlglot.tokenizer_core import TokenType as T
    while index > 1 and tokens[index - 1].token_type in (T.LEFT, T.RIGHT, T.FULL, T.INNER, T.OUTER):
        index -= 1
    return index == 0 or tokens[index - 1].token_type not in (T.CROSS, T.NATURAL)


def _like(token: Token, kind: Any, text: str) -> Token:
    from sqlglot.tokenizer_core import Token
    return Token(kind, text, token.line, token.col, token.start, token.end)


def _ends_operand(token: Token) -> bool:
    """Whether a value ends here: after it `?` is jsonb's operator and `:` belongs to a slice."""
    from sqlglot.tokenizer_core import TokenType as T
    if token.token_type in (T.IDENTIFIER, T.STRING, T.NUMBER, T.R_PAREN, T.R_BRACKET):
        return True
    return token.text.replace("_", "").isalnum() and token.text.upper() not in _BEFORE_OPERAND


def _is_trim(tokens: list[Token], index: int) -> bool:
    """Whether the FROM at `index` is that of TRIM([BOTH | LEADING | TRAILING] FROM ...)."""
    start = index - 1 if tokens[index - 1].text.upper() in ("BOTH", "LEADING", "TRAILING") else index
    return start > 1 and tokens[start - 1].text == "(" and tokens[start - 2].text.upper() == "TRIM"


def _parameter(token: Token, following: Token | None) -> tuple[int | str | None, int] | None:
    """(name, number, or None for the next one; how many tokens) of a parameter that begins at `token`."""
    from sqlglot.tokenizer_core import TokenType as T
    if token.token_type is T.PLACEHOLDER:
        return None, 1
    if following is not None and following.start == token.end + 1:
        if token.token_type is T.PARAMETER and token.text == "$" and following.token_type is T.NUMBER:
            return int(following.text) - 1, 2
        if token.token_type is T.COLON and following.token_type is T.NUMBER:
            return int(following.text) - 1, 2
        if token.token_type is T.COLON and following.text.isidentifier():
            return following.text, 2
    return None


def _numbered(parameters: dict[int | str, int], name: int | str | None, token: Token) -> list[Token]:
    """The tokens of `$n` for a parameter, and a number for it."""
    from sqlglot.tokenizer_core import TokenType as T
    key: int | str = len(parameters) if name is None else name
    if isinstance(key, int) and not 0 <= key < MAX_PARAMETERS:
        raise SyntaxFailure(f"there is no such parameter; a statement has at most {MAX_PARAMETERS}",
                            position=token.start + 1)
    number = parameters.setdefault(key, len(parameters) + 1)
    return [_like(token, T.PARAMETER, "$"), _like(token, T.NUMBER, str(number))]


_UNITS = {"YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"}


def _is_unit(token: Token | None) -> bool:
    return token is not None and token.text.upper() in _UNITS


def _end_of_moment(tokens: list[Token], start: int) -> int:
    """AS OF SYSTEM TIME takes one literal or parameter, with a sign, a cast or a call around it."""
    from sqlglot.tokenizer_core import TokenType as T
    index, depth = start, 0
    while index < len(tokens):
        token = tokens[index]
        if token.token_type is T.L_PAREN:
            depth += 1
        elif token.token_type is T.R_PAREN:
            if depth == 0:
                break
            depth -= 1
        elif depth == 0 and index > start and token.token_type in (
                T.WHERE, T.COMMA, T.JOIN, T.INNER, T.LEFT, T.RIGHT, T.FULL, T.CROSS, T.NATURAL, T.ON, T.USING,
                T.GROUP_BY, T.ORDER_BY, T.LIMIT, T.HAVING,
                T.UNION, T.EXCEPT, T.INTERSECT, T.ALIAS, T.VAR, T.OFFSET, T.FETCH):
            break
        index += 1
    return index

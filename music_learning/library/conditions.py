"""Conditions on the songs of a library, as people write them: `energy > .7 and tempo between 120 and 130`.

A condition is a part of SQL: `and`, `or`, `not`, parentheses, comparisons, `between`, `in`, `like` and `is null`, of
the columns of a library, numbers and 'texts'. It is parsed, and what is run is written anew from what was understood,
with the values as parameters: a condition can choose songs and do nothing else.

What is unknown of a song is null, and what is compared with it is neither true nor false, so that `tempo < 100` and
`not tempo < 100` both leave out songs without a tempo. `like` takes large and small letters of English as the same.
"""

from itertools import zip_longest

from sqlglot import exp
from sqlglot.dialects.sqlite import SQLite
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType

from music_learning.errors import UserError
from music_learning.library.schema import COLUMNS, Condition

MAX_LETTERS = 4000
MAX_QUOTED = 40  # letters of a condition that a message repeats
ALLOWED = (
    "a condition is made of comparisons (=, !=, <, <=, >, >=, between, in, like, is null) of columns, numbers and "
    "'texts', with and, or, not and parentheses, such as energy > .7 and tempo between 120 and 130"
)
_COMPARISONS = {exp.EQ: "=", exp.NEQ: "!=", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
# What each part of a condition is made of; a part with anything else, such as a table's name, is refused.
_PARTS = {
    **dict.fromkeys((exp.And, exp.Or, *_COMPARISONS, exp.Like, exp.Is), frozenset(("this", "expression"))),
    **dict.fromkeys((exp.Paren, exp.Not, exp.Neg, exp.Column), frozenset(("this",))),
    exp.Between: {"this", "low", "high"},
    exp.In: {"this", "expressions"},
    exp.Identifier: {"this", "quoted"},
    exp.Literal: {"this", "is_string"},
    exp.Null: frozenset(),
}
_KINDS = {str: "a text", int: "a number", float: "a number"}
_NAMES = {name.lower(): name for name in COLUMNS}
_WORDS = "AND OR NOT BETWEEN IN LIKE IS NULL ISNULL NOTNULL EQ NEQ LT LTE GT GTE L_PAREN R_PAREN COMMA DASH PLUS DOT"
_TOKENS = {TokenType[name] for name in (*_WORDS.split(), "NUMBER", "STRING")}


def parse_condition(text: str) -> Condition:
    """Understand a condition. Raises UserError where it is none, with what is wrong and what is allowed."""
    if len(text) > MAX_LETTERS:
        raise UserError(f"a condition may have {MAX_LETTERS:,} letters, this one has {len(text):,}")
    try:
        text.encode()
        writer = _Writer()
        sql = writer.condition(_parsed(text))
    except RecursionError:
        raise UserError("the condition is nested too deep; write it with fewer parentheses") from None
    except UnicodeEncodeError:
        raise UserError("the condition has letters that are no UTF-8; write it in UTF-8") from None
    return Condition(sql, tuple(writer.values))


def _parsed(text: str) -> exp.Expression:
    """The tree of a condition, of which no more is known than that it is one expression of SQL."""
    dialect = SQLite()
    try:
        tokens = dialect.tokenize(text)
    except SqlglotError:
        raise UserError(f"the condition {_quoted(text)} has a quote or a comment that does not end") from None
    if not tokens:
        raise UserError(f"the condition is empty; {ALLOWED}")
    for token, following in zip_longest(tokens, tokens[1:]):
        _check_token(token, following, _quoted(text[token.start :]))
    try:
        tree = dialect.parser().parse_into(exp.Condition, tokens, text)[0]
    except SqlglotError as error:
        place = (getattr(error, "errors", None) or [{}])[0]
        where = f"{place.get('highlight') or ''}{place.get('end_context') or ''}".strip()
        raise UserError(f"the condition can't be understood at {_quoted(where or text)}; {ALLOWED}") from None
    if tree is None:
        raise UserError(f"the condition can't be understood at {_quoted(text)}; {ALLOWED}")
    return tree


def _check_token(token: Token, following: Token | None, here: str) -> None:
    """Raise UserError for a word or a sign that no condition has, or a name that is no column's."""
    if token.comments:
        raise UserError(f"the condition has a comment at {here}; {ALLOWED}")
    is_name = token.token_type in (TokenType.VAR, TokenType.IDENTIFIER)
    if is_name and token.text.lower() not in _NAMES and (following is None or following.text not in "(."):
        hint = f"; a text stands in single quotes: '{token.text}'" if token.token_type != TokenType.VAR else ""
        raise UserError(f"a library has no column {_quoted(token.text)}{hint}; its columns are {', '.join(COLUMNS)}")
    if token.token_type not in _TOKENS and token.text.lower() not in _NAMES:
        raise UserError(f"the condition can't be understood at {here}; {ALLOWED}")


class _Writer:
    """Writes a condition anew, and collects its values."""

    def __init__(self) -> None:
        self.values: list[str | int | float] = []

    def condition(self, node: exp.Expression) -> str:
        """What is true or false. Raises UserError for all that is not allowed."""
        kind = type(node)
        _check(node)
        if node.args.get("negate"):  # as `not like` has it in some versions of the parser
            node.set("negate", None)
            return f"(NOT {self.condition(node)})"
        if kind is exp.Paren:
            return self.condition(node.this)
        if kind in (exp.And, exp.Or):
            word = " AND " if kind is exp.And else " OR "
            return f"({word.join(map(self.condition, node.flatten(unnest=False)))})"
        if kind is exp.Not:
            return f"(NOT {self.condition(node.this)})"
        if kind in _COMPARISONS:
            left, right = self.alike(node, node.this, node.expression)
            return f"{left} {_COMPARISONS[kind]} {right}"
        if kind is exp.Between:
            value, low, high = self.alike(node, node.this, node.args["low"], node.args["high"])
            return f"{value} BETWEEN {low} AND {high}"
        if kind is exp.In and node.expressions:
            value, *others = self.alike(node, node.this, *node.expressions)
            return f"{value} IN ({', '.join(others)})"
        if kind is exp.Like:
            value, pattern = self.alike(node, node.this, node.expression)
            if type_of(node.this) is not str:
                raise UserError(f"like is for texts, and {_sql(node.this)} is a number: write <, > or between")
            return f"{value} LIKE {pattern}"
        if kind is exp.Is and type(node.expression) is exp.Null:
            return f"{self.operand(node.this)} IS NULL"
        if kind is exp.Column:
            type_of(node)  # which says if there is none
            raise UserError(f"{_sql(node)} stands alone in the condition: compare it with something; {ALLOWED}")
        raise _refusal(node)

    def alike(self, comparison: exp.Expression, *nodes: exp.Expression) -> list[str]:
        """The sides of a comparison. Raises UserError where they are not all numbers or all texts."""
        for node in nodes:
            if type(node) is exp.Null:
                raise UserError(f"{_sql(comparison)} is never true; write is null, or is not null")
        first, *others = nodes
        for node in others:
            if _KINDS[type_of(node)] != _KINDS[type_of(first)]:
                hint = "; texts stand in single quotes, numbers in none" if exp.Literal in map(type, nodes) else ""
                raise UserError(
                    f"{_sql(first)} is {_KINDS[type_of(first)]} and {_sql(node)} is {_KINDS[type_of(node)]}, which "
                    f"can't be compared{hint}"
                )
        return [self.operand(node) for node in nodes]

    def operand(self, node: exp.Expression) -> str:
        """A column or a value."""
        type_of(node)
        while type(node) is exp.Paren:
            node = node.this
        if type(node) is exp.Column:
            return f'"{_NAMES[node.name.lower()]}"'
        negative = type(node) is exp.Neg
        literal = node.this if negative else node
        if literal.is_string:
            self.values.append(literal.name)
        else:
            value = int(literal.name) if literal.name.isdecimal() and len(literal.name) <= 18 else float(literal.name)
            self.values.append(-value if negative else value)
        return "?"


def type_of(node: exp.Expression) -> type:
    """The type of a column or a value. Raises UserError for anything else."""
    _check(node)
    if type(node) is exp.Paren:
        return type_of(node.this)
    if type(node) is exp.Column and node.name.lower() in _NAMES:
        return COLUMNS[_NAMES[node.name.lower()]]
    literal = node.this if type(node) is exp.Neg else node
    _check(literal)
    if type(literal) is not exp.Literal or (literal.is_string and literal is not node):
        raise _refusal(node)
    if literal.is_string:
        return str
    try:
        float(literal.name)
    except ValueError:
        raise _refusal(node) from None
    return float


def _check(node: exp.Expression) -> None:
    """Raise UserError where a part is of an unknown kind, or has what is unknown of its kind."""
    given = {name for name, value in node.args.items() if value}
    if not given <= _PARTS.get(type(node), frozenset()) | {"negate"}:
        raise _refusal(node)


def _refusal(node: exp.Expression) -> UserError:
    return UserError(f"{_sql(node)} has no place in a condition; {ALLOWED}")


def _sql(node: exp.Expression) -> str:
    return _quoted(node.sql(dialect="sqlite", comments=False))


def _quoted(text: str) -> str:
    text = " ".join(text.split())
    return f"“{text if len(text) <= MAX_QUOTED else text[: MAX_QUOTED - 1] + '…'}”"

"""Answers questions about CSV and TSV data, as a compact Markdown table."""

import codecs
import csv
import io
import json
import math
import re

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import files
from wit_world.imports.types import PluginError, ToolContext, ToolResult, ToolSpec

# A sandbox has no files: what is not loaded when the component is built is not there later.
for name in ("utf-8-sig", "utf-16", "cp1252"):
    codecs.lookup(name)

MAX_BYTES = 2_000_000
MAX_ROWS = 200
CELL = 80
csv.field_size_limit(MAX_BYTES)

OPERATORS = ["=", "!=", "<", "<=", ">", ">=", "contains", "empty", "filled"]
FUNCTIONS = ["count", "sum", "mean", "median", "min", "max", "distinct"]

PARAMS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "path": {"type": "string", "description": "A CSV or TSV file of the workspace. Give either path or text."},
        "text": {"type": "string", "description": "The data itself, with its header line."},
        "delimiter": {"enum": [",", ";", "\t", "|"], "description": "Found out when not given."},
        "header": {"type": "boolean", "description": "False when the first line is data: columns are then called column 1, column 2 and so on."},
        "do": {"enum": ["describe", "rows", "group"], "description": "describe (when nothing else is asked for): types and statistics of each column; rows: the rows themselves; group: one row for each value of groupBy."},
        "where": {
            "type": "array",
            "maxItems": 20,
            "description": "Only rows that fit all of these. Numbers are compared as numbers, words without regard to case.",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["column", "is"],
                "properties": {
                    "column": {"type": "string"},
                    "is": {"enum": OPERATORS},
                    "value": {"type": ["string", "number", "boolean"]},
                },
            },
        },
        "groupBy": {"type": "array", "maxItems": 10, "items": {"type": "string"}},
        "aggregate": {
            "type": "array",
            "maxItems": 20,
            "description": "For group; the number of rows is always there. Without groupBy it is about all rows.",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["column", "function"],
                "properties": {"column": {"type": "string"}, "function": {"enum": FUNCTIONS}},
            },
        },
        "columns": {"type": "array", "maxItems": 100, "items": {"type": "string"}, "description": "For rows and describe: only these."},
        "sort": {"type": "string", "description": "Sort by this column of the answer, such as price, rows or sum of price."},
        "ascending": {"type": "boolean", "description": "Smallest first; otherwise largest first."},
        "top": {"type": "integer", "minimum": 1, "maximum": MAX_ROWS, "description": "So many rows at most; 20 when not given."},
    },
}

MISSING = {"", "-", "na", "n/a", "nan", "null", "none"}
TRUTH = {"true", "false", "yes", "no"}
DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?")
POINT = re.compile(r"[+-]?[$€£]?\s?(?:\d+|\d{1,3}(?:,\d{3})+)?(?:\.\d+)?(?:[eE][+-]?\d+)?\s?[%€]?")
COMMA = re.compile(r"[+-]?[$€£]?\s?(?:\d+|\d{1,3}(?:\.\d{3})+)?(?:,\d+)?(?:[eE][+-]?\d+)?\s?[%€]?")
DRESS = str.maketrans("", "", "$€£% \u00a0")


class Refused(Exception):
    """The model asked for something that cannot be; the message says what can."""


def is_missing(cell):
    return cell.strip().lower() in MISSING


def number(cell, decimal):
    """The number in a cell, or None."""
    cell = cell.strip()
    form, thousands = (COMMA, ".") if decimal == "," else (POINT, ",")
    if not form.fullmatch(cell) or not any(letter.isdigit() for letter in cell):
        return None
    plain = cell.translate(DRESS).replace(thousands, "").replace(",", ".")
    # Python refuses to make an integer of very many digits.
    if len(plain) < 19 and plain.lstrip("+-").isdecimal():
        return int(plain)
    try:
        value = float(plain)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def shown(value):
    if value is None:
        return ""
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        return f"{value:.10g}"
    return str(value)


def cell_text(value):
    text = " ".join(shown(value).split()).replace("\\", "\\\\").replace("|", "\\|")
    return text if len(text) <= CELL else text[: CELL - 1].rstrip("\\") + "…"


def markdown(head, rows):
    lines = ["| " + " | ".join(cell_text(name) for name in head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(cell_text(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


class Column:
    """One column: its cells, and what they are when they are all of one kind."""

    def __init__(self, name, cells, decimal):
        self.name = name
        self.cells = cells
        self.decimal = decimal
        filled = [cell for cell in cells if not is_missing(cell)]
        numbers = [number(cell, decimal) for cell in filled]
        if not filled:
            self.kind = "empty"
        # A leading zero is a code, such as a postcode, and no number.
        elif None not in numbers and not any(re.match(r"0\d", cell.strip()) for cell in filled):
            self.kind = "number"
        elif all(DATE.fullmatch(cell.strip()) for cell in filled):
            self.kind = "date"
        elif all(cell.strip().lower() in TRUTH for cell in filled):
            self.kind = "yes/no"
        else:
            self.kind = "text"
        self.values = [self.value(cell) for cell in cells]

    def value(self, cell):
        if is_missing(cell):
            return None
        return number(cell, self.decimal) if self.kind == "number" else cell.strip()


class Table:
    def __init__(self, text, delimiter, header):
        if not text.strip():
            raise Refused("there is no data in it")
        self.delimiter = delimiter or found_delimiter(text)
        rows = parsed(text, self.delimiter)
        head = rows[0] if header else [""] * max(len(row) for row in rows)
        body = rows[1:] if header else rows
        names = column_names(head)
        self.long = sum(1 for row in body if len(row) > len(names))
        self.short = sum(1 for row in body if len(row) < len(names))
        blank = [""] * len(names)
        body = [(row + blank)[: len(names)] for row in body]
        self.size = len(body)
        decimal = "," if self.delimiter == ";" and decimal_commas(body) else "."
        cells = zip(*body) if body else ([] for _ in names)
        self.columns = [Column(name, list(each), decimal) for name, each in zip(names, cells)]

    def column(self, name):
        for fits in (lambda each: each == name, lambda each: each.strip().lower() == name.strip().lower()):
            for column in self.columns:
                if fits(column.name):
                    return column
        raise Refused(f'there is no column "{name}"; there are: ' + ", ".join(each.name for each in self.columns))


def parsed(text, delimiter):
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
        rows = [row for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise Refused(f"it cannot be read as a table: {error}")
    if not rows:
        raise Refused("there is no data in it")
    return rows


def found_delimiter(text):
    """The one that cuts the first lines into most columns, alike in most lines."""
    sample = text[:20_000].splitlines(keepends=True)[:30]

    def score(delimiter):
        try:
            widths = [len(row) for row in csv.reader(sample, delimiter=delimiter, skipinitialspace=True) if row]
        except csv.Error:
            return (0, 0)
        usual = max(set(widths), key=widths.count) if widths else 0
        return (widths.count(usual) / len(widths), usual) if usual > 1 else (0, 0)

    return max([",", "\t", ";", "|"], key=score)


def column_names(head):
    names = []
    for index, cell in enumerate(head, 1):
        base = name = " ".join(cell.split()) or f"column {index}"
        again = 2
        while name in names:
            name = f"{base} ({again})"
            again += 1
        names.append(name)
    return names


def decimal_commas(body):
    cells = [cell.strip() for row in body[:1000] for cell in row]
    with_comma = sum(1 for cell in cells if re.fullmatch(r"-?[\d.]*\d,\d+", cell))
    with_point = sum(1 for cell in cells if re.fullmatch(r"-?\d+\.\d{1,2}", cell))
    return with_comma > with_point


def order(value):
    """Numbers before words; nothing is smallest."""
    if value is None:
        return (0, 0, "")
    return (1, value, "") if isinstance(value, (int, float)) else (2, 0, value.lower())


def chosen(table, where):
    """Indices of the rows that fit all conditions."""
    rows = range(table.size)
    for condition in where:
        column = table.column(condition["column"])
        fits = condition_of(column, condition["is"], condition.get("value"))
        rows = [row for row in rows if fits(column.values[row])]
    return list(rows)


def condition_of(column, operator, wanted):
    if operator == "empty":
        return lambda value: value is None
    if operator == "filled":
        return lambda value: value is not None
    if wanted is None:
        raise Refused(f'the condition on "{column.name}" with {operator} needs a value')
    text = str(wanted).lower() if isinstance(wanted, bool) else shown(wanted)
    if operator == "contains":
        return lambda value: value is not None and text.lower() in shown(value).lower()
    if column.kind == "number":
        goal = wanted if isinstance(wanted, (int, float)) else number(text, column.decimal)
        if goal is None:
            raise Refused(f'column "{column.name}" has numbers, and "{text}" is none')
        key = lambda value: value
    else:
        goal, key = text.strip().lower(), lambda value: value.lower()
    compare = {
        "=": lambda value: value == goal,
        "!=": lambda value: value != goal,
        "<": lambda value: value < goal,
        "<=": lambda value: value <= goal,
        ">": lambda value: value > goal,
        ">=": lambda value: value >= goal,
    }[operator]
    return lambda value: operator == "!=" if value is None else compare(key(value))


def total(values):
    return sum(values) if all(isinstance(value, int) for value in values) else math.fsum(values)


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def computed(column, function, rows):
    values = [value for value in (column.values[row] for row in rows) if value is not None]
    if function == "count":
        return len(values)
    if function == "distinct":
        return len(set(values))
    if function in ("min", "max"):
        return (min if function == "min" else max)(values, key=order, default=None)
    if column.kind not in ("number", "empty"):
        raise Refused(f'column "{column.name}" has {column.kind}: it has a count, distinct, min and max, and no {function}')
    if not values:
        return 0 if function == "sum" else None
    return {"sum": total, "mean": lambda all: total(all) / len(all), "median": median}[function](values)


def describe(table, rows, columns):
    head = ["column", "type", "filled", "missing", "distinct", "min", "max", "mean", "median", "sum"]
    lines = []
    for column in columns:
        count = computed(column, "count", rows)
        line = [column.name, column.kind, count, len(rows) - count]
        line += [computed(column, each, rows) for each in ("distinct", "min", "max")]
        numeric = column.kind == "number"
        lines.append(line + [computed(column, each, rows) if numeric else None for each in ("mean", "median", "sum")])
    return head, lines


def grouped(table, rows, given):
    keys = [table.column(name) for name in given.get("groupBy", [])]
    wanted = [(table.column(each["column"]), each["function"]) for each in given.get("aggregate", [])]
    groups = {}
    for row in rows:
        groups.setdefault(tuple(key.values[row] for key in keys), []).append(row)
    if not keys:
        groups = {(): rows}
    head = [key.name for key in keys] + ["rows"] + [f"{function} of {column.name}" for column, function in wanted]
    return head, [
        [*key, len(members), *(computed(column, function, members) for column, function in wanted)]
        for key, members in groups.items()
    ]


def sorted_rows(head, lines, given, otherwise):
    name = given.get("sort", otherwise)
    if name is None:
        return lines
    places = [index for index, each in enumerate(head) if each.lower() == name.strip().lower()]
    if not places:
        raise Refused(f'the answer has no column "{name}" to sort by; it has: ' + ", ".join(head))
    there = [line for line in lines if line[places[0]] is not None]
    there.sort(key=lambda line: order(line[places[0]]), reverse=not given.get("ascending", False))
    # What is missing comes last, whichever way.
    return there + [line for line in lines if line[places[0]] is None]


def answer(text, given):
    table = Table(text, given.get("delimiter"), given.get("header", True))
    rows = chosen(table, given.get("where", []))
    implied = "group" if "groupBy" in given or "aggregate" in given else "describe"
    if implied == "describe" and any(key in given for key in ("where", "sort", "top", "columns")):
        implied = "rows"
    task = given.get("do", implied)
    top = given.get("top", 100 if task == "describe" else 20)
    columns = [table.column(name) for name in given["columns"]] if "columns" in given else table.columns
    if task == "describe":
        head, lines = describe(table, rows, columns)
        lines = sorted_rows(head, lines, given, None)
    elif task == "group":
        head, lines = grouped(table, rows, given)
        lines = sorted_rows(head, lines, given, "rows")
    else:
        head = [column.name for column in columns]
        # It may be sorted by a column that is not shown.
        extra = [table.column(given["sort"])] if "sort" in given else []
        lines = [[column.values[row] for column in [*columns, *extra]] for row in rows]
        names = head + [column.name for column in extra]
        if extra:
            lines = sorted_rows(["", *names[-1:]], [[line[:-1], line[-1]] for line in lines], {**given, "sort": names[-1]}, None)
            lines = [line[0] for line in lines]
    return report(table, rows, head, lines, task, top)


def plural(count, what):
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def report(table, rows, head, lines, task, top):
    size = plural(table.size, "row")
    notes = [size if len(rows) == table.size else f"{len(rows)} of {size}"]
    notes.append(plural(len(table.columns), "column"))
    if task == "group":
        notes.append(plural(len(lines), "group"))
    if len(lines) > top:
        notes.append(f"the first {top} are shown")
    if table.long:
        notes.append(f"{plural(table.long, 'row')} with more cells than the header, the rest of them left out")
    if table.short:
        notes.append(f"{plural(table.short, 'row')} with fewer cells than the header")
    about = ", ".join(notes)
    return about if not lines else f"{about}\n\n{markdown(head, lines[:top])}"


def decoded(data):
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return data.decode("utf-16", "replace")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    if "\0" in text:
        raise Refused("it is no text: export it as CSV first")
    return text


def source(given):
    if ("path" in given) == ("text" in given):
        raise Refused("give either path or text")
    if "text" in given:
        return given["text"].removeprefix("\ufeff")
    path = given["path"]
    try:
        return decoded(files.read(path, MAX_BYTES))
    except Err as error:
        problem = error.value
        if problem.code == "TOO_LARGE":
            raise Refused(f"{path} is larger than {MAX_BYTES} bytes; cut it into parts")
        raise Refused(problem.message)


class Guest(exports.Guest):
    def init(self, config: str) -> None:
        """There is nothing to set."""


class Tool(exports.Tool):
    def list_tools(self) -> list[ToolSpec]:
        description = (
            "Reads CSV or TSV data, from a file of the workspace or given as text, and answers with a small table: "
            "statistics of its columns, rows that fit conditions, sums and means by group, the top n. "
            "Use it instead of reading or counting large tables yourself."
        )
        return [ToolSpec("table", description, json.dumps(PARAMS), ["path"], None)]

    def execute(self, name: str, params: str, context: ToolContext) -> ToolResult:
        if name != "table":
            raise Err(PluginError("NOT_FOUND", f'there is no tool "{name}" here', None, None))
        try:
            return ToolResult(answer(source(given := json.loads(params)), given), None, None)
        except Refused as refused:
            return ToolResult(str(refused), True, None)
        except MemoryError:
            return ToolResult("the table is too large for the memory there is; cut it into parts", True, None)

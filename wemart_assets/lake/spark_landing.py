"""Reads landing files on Spark, with the same rows, types and raw text as on DuckDB."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce

import pyarrow as pa
import pyarrow.parquet as pq
import sqlglot
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql import SparkSession as Spark
from pyspark.sql import functions as f
from pyspark.sql import types as st
from sqlglot import exp
from sqlglot.optimizer.annotate_types import annotate_types

from wemart_assets.lake.engine import FAULT, LINE, PATH, RAW, TEXT, FileFormat, FileKind
from wemart_assets.lake.errors import LandingError, UnreadableFile


class SparkFailed(Exception):
    """A query failed in Spark's JVM; the message joins those of all causes, without stack traces."""


# Raised by Spark for a damaged file.
FAILURES: tuple[type[Exception], ...] = (PySparkException, SparkFailed)
INTEGERS = ("TINYINT", "SMALLINT", "INT", "BIGINT")
# An escape, a class of characters, or a dollar sign, in a regular expression.
PART_OF_PATTERN = re.compile(r"\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|[$]", re.DOTALL)
BLANKS = r"\t\n\f\r "


@contextmanager
def jvm_errors() -> Iterator[None]:
    """Turn JVM exceptions for which pyspark has no class into `SparkFailed`."""
    try:
        yield
    except Py4JJavaError as error:
        messages, cause = [], error.java_exception
        while cause is not None:
            messages += [message for message in [cause.getMessage()] if message and message not in messages]
            cause = cause.getCause()
        raise SparkFailed(": ".join(messages)) from error


def file_columns(spark: Spark, path: str, form: FileFormat) -> dict[str, bool]:
    """Implements `Session.file_columns`."""
    if form.kind is FileKind.PARQUET:
        return {field.name: not pa.types.is_null(field.type) for field in _parquet_schema(path)}
    documents = _documents(_lines(spark, [path])).withColumn("doc", f.expr(f"strict_json({TEXT})"))
    lines = documents.select(
        (~f.expr(f"is_valid_utf8({TEXT})") | f.json_object_keys("doc").isNull()).alias("is_broken"),
        f.explode_outer(f.json_object_keys("doc")).alias("key"),
    )
    keys = lines.distinct().collect()
    if any(row["is_broken"] for row in keys):
        raise UnreadableFile(f"landing file {path} cannot be read: some lines are not JSON objects")
    return dict.fromkeys(sorted(row["key"] for row in keys if row["key"] is not None), True)


def landed(
    spark: Spark, paths: Sequence[str], form: FileFormat, columns: Sequence[str], expressions: Mapping[str, str]
) -> DataFrame:
    """Implements `Session.scan`."""
    for path in paths:
        if form.gzipped and not form.is_copy and not path.endswith(".gz"):
            raise LandingError(f"landing file {path}: Spark recognizes gzipped files by a lower-case .gz; rename it")
        if ":" in path:
            raise LandingError(f"landing file {path}: Spark cannot read a file with a colon in its path; rename it")
    read = {FileKind.PARQUET: _parquet, FileKind.CSV: _csv, FileKind.JSONL: _jsonl, FileKind.TEXT: _text}[form.kind]
    frames = read(spark, paths, form, columns)
    rows = reduce(lambda left, right: left.unionByName(right), frames)
    values = [f.expr(spark_expression(sql)).alias(name) for name, sql in expressions.items()]
    return rows.select(*values, f.col(RAW).alias("_raw"), f.col(FAULT).alias("_fault"), f.col(PATH).alias("_file"))


def spark_expression(sql: str) -> str:
    """Translate an expression of `sources.yaml` from DuckDB's dialect to Spark's.

    Functions that sqlglot wrongly considers equal are written out.

    Raises:
        LandingError: the meaning depends on a type that the expression does not state.
    """
    parsed = annotate_types(sqlglot.parse_one(sql, read="duckdb"), dialect="duckdb")
    nodes = list(parsed.find_all(exp.Cast, exp.UnixToTime, exp.TimeToUnix, exp.AtTimeZone, exp.Anonymous, bfs=True))
    operand_types = {id(node): node.this.type.this for node in nodes if not isinstance(node, exp.Anonymous)}
    for joined in parsed.find_all(exp.ConcatWs):
        # Both engines leave out NULL; sqlglot would put an empty text in its place.
        joined.set("coalesce", False)
    for match in parsed.find_all(exp.RegexpLike, exp.RegexpExtract, exp.RegexpReplace):
        _match_in_java(match)
    # Innermost first: an outer node is written out together with the nodes inside it.
    for node in reversed(nodes):
        translated = _translated(node, operand_types.get(id(node), exp.DataType.Type.UNKNOWN))
        parsed = translated if node is parsed else parsed
        node.replace(translated)
    return _spark(parsed)


def _translated(node: exp.Expression, kind: exp.DataType.Type) -> exp.Expression:
    """The node in Spark's dialect; `kind` is the type of its operand."""
    if isinstance(node, exp.Anonymous):
        if node.name.lower() == "json_valid":
            text = _spark(node.expressions[0])
            return sqlglot.parse_one(f"if({text} is null, null, strict_json({text}) is not null)", read="spark")
        return _try_strptime(node) if node.name.lower() == "try_strptime" else node
    operand = _spark(node.this)
    if isinstance(node, exp.Cast) and node.to.this.name in INTEGERS:
        # Spark truncates. DuckDB rounds halves away from zero in decimals, and to even in floating-point numbers.
        cast_ = _spark(node).partition("(")[0]
        exact = f"{cast_}({operand} as decimal(38, 9))"
        whole = f"if(typeof({operand}) in ('double', 'float'), bround({exact}), round({exact}))"
        return sqlglot.parse_one(f"{cast_}({whole} as {_spark(node.to)})", read="spark")
    is_instant = kind in (exp.DataType.Type.TIMESTAMPTZ, exp.DataType.Type.TIMESTAMPLTZ)
    is_local = kind in (exp.DataType.Type.TIMESTAMP, exp.DataType.Type.TIMESTAMPNTZ, exp.DataType.Type.DATE)
    if isinstance(node, exp.UnixToTime) and str(node.args.get("scale")) == "3" and (is_instant or is_local):
        # DuckDB's epoch_ms converts in both directions.
        return sqlglot.parse_one(f"unix_millis(cast({operand} as timestamp))", read="spark")
    if isinstance(node, exp.TimeToUnix):
        return sqlglot.parse_one(f"unix_micros(cast({operand} as timestamp)) / 1e6D", read="spark")
    if isinstance(node, exp.AtTimeZone):
        if not is_instant and not is_local:
            raise LandingError(
                f"sources.yaml: {operand} AT TIME ZONE: on Spark the value has to be cast to TIMESTAMP or TIMESTAMPTZ"
            )
        function = "from_utc_timestamp" if is_instant else "to_utc_timestamp"
        return sqlglot.parse_one(f"{function}({operand}, {_spark(node.args['zone'])})", read="spark")
    return node


def _match_in_java(match: exp.Expression) -> None:
    """Gives a function its pattern and its options in Java's dialect.

    Raises:
        LandingError: Spark has no such option, or would replace all matches instead of the first.
    """
    options = ""
    for name in ("flag", "parameters", "modifiers"):
        if (given := match.args.get(name)) is not None:
            options += given.name if isinstance(given, exp.Literal) else "?"
            match.set(name, None)
    is_replacement = isinstance(match, exp.RegexpReplace)
    if is_replacement and "g" not in options:
        raise LandingError(
            "sources.yaml: regexp_replace: Spark replaces all matches, not only the first; say so with the option 'g'"
        )
    if unknown := set(options) - {"c", "i", *("g" if is_replacement else "")}:
        raise LandingError(
            f"sources.yaml: a regular expression has the option {min(unknown)}, which Spark does not have"
        )
    replacement = match.args.get("replacement")
    if isinstance(replacement, exp.Literal):
        # `\1` is `$1` in Java, and a dollar sign has to be escaped.
        text = re.sub(r"\\([0-9])|\\\\|[$]", lambda m: f"${m[1]}" if m[1] else f"\\{m[0][-1]}", replacement.name)
        replacement.replace(exp.Literal.string(text))
    pattern = match.expression
    if isinstance(pattern, exp.Literal) and pattern.is_string:
        flags = "(?iu)" if "i" in options else ""
        pattern.replace(exp.Literal.string(flags + _java_pattern(pattern.name)))
    elif "i" in options:
        raise LandingError("sources.yaml: a regular expression with the option 'i' has to be a constant on Spark")


def _java_pattern(pattern: str) -> str:
    r"""A regular expression of DuckDB in Java's dialect.

    Java takes CR, U+0085, U+2028 and U+2029 for line ends, too, lets `$` match before a final line end, and counts
    the vertical tab as white space.
    """
    has_lines = re.search(r"\(\?[a-zA-Z]*m", pattern)

    def in_java(part: re.Match[str]) -> str:
        text = part.group()
        if text == "$":
            return text if has_lines else r"\z"
        if text in (r"\s", r"\S"):
            return f"[{'^' if text == chr(92) + 'S' else ''}{BLANKS}]"
        if text.startswith("["):
            return re.sub(r"\\.", lambda e: BLANKS if e.group() == r"\s" else e.group(), text, flags=re.DOTALL)
        return text

    return "(?d)" + PART_OF_PATTERN.sub(in_java, pattern)


def _try_strptime(node: exp.Anonymous) -> exp.Expression:
    """sqlglot knows only the function that fails on text in another format, and translates the format's letters."""
    value, *forms = node.expressions
    forms_in_duckdb = [form.sql(dialect="duckdb") for form in forms]
    strict = sqlglot.parse_one(f"strptime({', '.join(['value', *forms_in_duckdb])})", read="duckdb")
    if not isinstance(strict, exp.StrToTime):
        return node
    strict.set("this", value)
    _, _, arguments = _spark(strict).partition("(")
    return sqlglot.parse_one(f"try_to_timestamp({arguments}", read="spark")


def _spark(node: exp.Expression) -> str:
    return node.sql(dialect="spark", normalize_functions=False)


def _parquet(spark: Spark, paths: Sequence[str], form: FileFormat, columns: Sequence[str]) -> list[DataFrame]:
    by_schema: dict[pa.Schema, list[str]] = {}
    for path in paths:
        by_schema.setdefault(_parquet_schema(path), []).append(path)
    frames = []
    for schema, files in by_schema.items():
        rows = spark.read.parquet(*map(_exactly, files))
        values = {field.name: _as_microseconds(field) for field in schema if not pa.types.is_null(field.type)}
        raw = f.to_json(f.struct(*(_as_text(values[n], n, rows) for n in values)), {"ignoreNullFields": "false"})
        frames.append(rows.select(*(values[c].alias(c) for c in columns), raw.alias(RAW), *_fault_and_path()))
    return frames


def _csv(spark: Spark, paths: Sequence[str], form: FileFormat, columns: Sequence[str]) -> list[DataFrame]:
    if form.is_copy:
        return [_copies(spark, paths).select(*(f.col(quoted(c)) for c in columns), RAW, FAULT, PATH)]
    # A row with too few or too many values is an error, even if only some columns are read.
    rows = spark.read.options(mode="FAILFAST", columnPruning="false").csv(
        [_exactly(path) for path in paths],
        schema=st.StructType([st.StructField(name, st.StringType()) for name in form.names]),
        header=form.has_header,
        sep=form.delimiter,
        quote='"',
        escape='"',
        # For text after a closing quote, where Spark would otherwise keep the quotes in the value.
        unescapedQuoteHandling="RAISE_ERROR",
        # Values may contain line ends.
        multiLine=True,
    )
    # An empty field is NULL, quoted or not, unless the format names another text for NULL.
    values = {n: f.nullif(f.coalesce(f.col(quoted(n)), f.lit("")), f.lit(form.null or "")) for n in form.names}
    raw = f.to_json(f.struct(*(v.alias(n) for n, v in values.items())), {"ignoreNullFields": "false"})
    return [rows.select(*(values[c].alias(c) for c in columns), raw.alias(RAW), *_fault_and_path())]


def _text(spark: Spark, paths: Sequence[str], form: FileFormat, columns: Sequence[str]) -> list[DataFrame]:
    if form.is_copy:
        return _csv(spark, paths, form, columns)
    # In a file that is read directly, a carriage return is part of a line end.
    line = f.regexp_replace(TEXT, "\r$", "").alias(LINE)
    raw = f.to_json(f.struct(line)).alias(RAW)
    fault = f.lit(None).cast("string").alias(FAULT)
    return [_lines(spark, paths).select(*([line] if columns else []), raw, fault, PATH)]


def _jsonl(spark: Spark, paths: Sequence[str], form: FileFormat, columns: Sequence[str]) -> list[DataFrame]:
    fields = st.StructType([st.StructField(name, st.StringType()) for name in columns])
    lines = _copies(spark, paths) if form.is_copy else _documents(_lines(spark, paths))
    rows = lines.withColumn("__wemart_doc", f.from_json(TEXT, fields))
    values = [f.col(f"__wemart_doc.{quoted(c)}").alias(c) for c in columns]
    if form.is_copy:
        return [rows.select(*values, RAW, FAULT, PATH)]
    raw = f.btrim(f.col(TEXT), f.lit(" \t\r\n")).alias(RAW)
    return [rows.select(*values, raw, f.lit(None).cast("string").alias(FAULT), PATH)]


def _copies(spark: Spark, paths: Sequence[str]) -> DataFrame:
    return spark.read.parquet(*map(_exactly, paths))


def _lines(spark: Spark, paths: Sequence[str]) -> DataFrame:
    lines = spark.read.text([_exactly(path) for path in paths], lineSep="\n")
    return lines.select(f.col("value").alias(TEXT), _path())


def _documents(lines: DataFrame) -> DataFrame:
    return lines.where(rf"{TEXT} rlike '\\S'")


def _parquet_schema(path: str) -> pa.Schema:
    try:
        return pq.read_schema(path).remove_metadata()
    except (pa.ArrowInvalid, OSError) as error:
        raise UnreadableFile(f"landing file {path} cannot be read: {error}") from error


def _as_microseconds(field: pa.Field) -> Column:
    column = f.col(quoted(field.name))
    if pa.types.is_uint64(field.type):
        return column.cast("bigint")
    if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
        instant = f.expr(f"timestamp_micros({quoted(field.name)} div 1000)")
        return instant if field.type.tz else instant.cast("timestamp_ntz")
    return column


def _as_text(value: Column, name: str, rows: DataFrame) -> Column:
    """The value as DuckDB writes it in the JSON of a row."""
    kind = rows.select(value).schema[0].dataType
    if isinstance(kind, st.TimestampType):
        value = f.concat(value.cast("string"), f.lit("+00"))
    elif isinstance(kind, st.TimestampNTZType):
        value = value.cast("string")
    elif isinstance(kind, st.DecimalType):
        value = value.cast("double")
    return value.alias(name)


def _fault_and_path() -> tuple[Column, Column]:
    """`FAULT` (NULL) and `PATH` of a row that Spark has read from the file itself."""
    return f.lit(None).cast("string").alias(FAULT), _path()


def _path() -> Column:
    """The file's path as it was given; Spark has it as a URI."""
    encoded = f.replace(f.col("_metadata.file_path"), f.lit("+"), f.lit("%2B"))
    return f.regexp_replace(f.url_decode(encoded), "^[a-zA-Z][a-zA-Z0-9]+:(//[^/]*)?", "").alias(PATH)


def _exactly(path: str) -> str:
    """The path as a glob pattern that matches only this path."""
    return "".join(f"\\{c}" if c in "\\*?[]{}" else c for c in path)


def quoted(identifier: str) -> str:
    """The identifier, quoted for Spark's SQL."""
    return "`" + identifier.replace("`", "``") + "`"

"""Defaults are read for what they mean, however PostgreSQL spells them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.postgres.expressions import comparable, default_of, words
from octavo.schema.datamodel import DefaultValue, EnumValue, Function, NativeType, Number
from octavo.schema.native import DEFAULT_NATIVE
from octavo.values.registry import of_native


@pytest.mark.parametrize(
    ("expression", "type_", "value"),
    [
        ("'{}'::jsonb", "Json", "{}"),
        ("'it''s'::text", "String", "it's"),
        ("E'a\\\\b\\'c'::text", "String", "a\\b'c"),
        ("''::character varying(20)", "String", ""),
        ("'a::b'::text", "String", "a::b"),
        ("false", "Boolean", False),
        ("'t'::boolean", "Boolean", True),
        ("0", "Int", Number("0")),
        ("'-1'::integer", "Int", Number("-1")),
        ("(- 1)", "Int", Number("-1")),
        ("'9007199254740993'::bigint", "BigInt", Number("9007199254740993")),
        ("1.50::numeric(65,30)", "Decimal", Number("1.50")),
        ("'-1.5e300'::double precision", "Float", Number("-1.5e300")),
        ("'2020-01-02 00:00:00'::timestamp without time zone", "DateTime", "2020-01-02 00:00:00"),
        ("'\\x00ff'::bytea", "Bytes", "AP8="),
        ("CURRENT_TIMESTAMP", "DateTime", Function("now")),
        ("now()", "DateTime", Function("now")),
        ("(now())::timestamp(3) without time zone", "DateTime", Function("now")),
        ("CURRENT_TIMESTAMP(3)", "DateTime", Function("now")),
        ("pg_catalog.now()", "DateTime", Function("now")),
        ("nextval('a_id_seq'::regclass)", "Int", Function("autoincrement")),
        ("nextval('\"A\"_id_seq'::regclass)", "BigInt", Function("autoincrement")),
        ("NULL::text", "String", None),
        ("gen_random_uuid()", "String", Function("dbgenerated", ("gen_random_uuid()",))),
        ("(1 + 2)", "Int", Function("dbgenerated", ("(1 + 2)",))),
    ],
)
def test_scalars(expression: str, type_: str, value: DefaultValue | None) -> None:
    assert default_of(expression, type_, enum=False, is_list=False) == value


@pytest.mark.parametrize(
    "expression",
    [
        "ARRAY['a'::text, 'b,c'::text, ''::text]",
        '\'{a,"b,c",""}\'::text[]',
        "(ARRAY['a', 'b,c', ''])::text[]",
    ],
)
def test_lists(expression: str) -> None:
    assert default_of(expression, "String", enum=False, is_list=True) == ("a", "b,c", "")


@pytest.mark.parametrize("expression", ["ARRAY[]::text[]", "'{}'::text[]", "(ARRAY[]::text[])"])
def test_empty_lists(expression: str) -> None:
    assert default_of(expression, "String", enum=False, is_list=True) == ()


@pytest.mark.parametrize(
    "expression", ["'{a,NULL}'::text[]", "'{{a},{b}}'::text[]", "string_to_array('a', ',')"]
)
def test_a_list_that_prisma_could_not_write_stays_an_expression(expression: str) -> None:
    value = default_of(expression, "String", enum=False, is_list=True)
    assert value == Function("dbgenerated", (expression,))


def test_enums() -> None:
    assert default_of("'the red'::colors", "Color", enum=True, is_list=False) == EnumValue("the red")
    found = default_of("'{\"the red\"}'::colors[]", "Color", enum=True, is_list=True)
    assert found == (EnumValue("the red"),)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("concat('a', 1+2)", "concat('a', (1 + 2))"),
        ("now() + interval '1 day'", "(now() + '1 day'::interval)"),
        ("timezone('utc', now())", "timezone('utc'::text, now())"),
        ("Gen_Random_UUID()", "gen_random_uuid()"),
        ("upper('A')", 'upper("a")'.replace('"a"', "'A'::text")),
    ],
)
def test_one_expression_in_two_spellings(one: str, other: str) -> None:
    assert words(one) == words(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gen_random_uuid()", "uuid_generate_v4()"),
        ("upper('a')", "upper('A')"),
        ("f(1)", "f(2)"),
        ('f("A")', 'f("a")'),
        ("now() + interval '1 day'", "now() + interval '2 day'"),
        ("f()", "f"),
    ],
)
def test_two_expressions(one: str, other: str) -> None:
    assert words(one) != words(other)


@pytest.mark.parametrize(
    ("one", "other", "native"),
    [
        (Number("1.50"), Number("1.5"), "Decimal"),
        (Number("5.25"), "$5.25", "Money"),
        ('{"a": 1, "b": 2}', '{"b":2,"a":1.0}'.replace("1.0", "1"), "JsonB"),
        ("2020-01-02T03:04:05Z", "2020-01-02 03:04:05", "Timestamp"),
        ("2020-01-02T03:04:05+02:00", "2020-01-02 03:04:05", "Timestamp"),
        ("2020-01-02T03:04:05+02:00", "2020-01-02 01:04:05+00", "Timestamptz"),
        ("2020-01-02T03:04:05Z", "2020-01-02", "Date"),
        ("1970-01-01T10:20:30Z", "10:20:30", "Time"),
        ("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "Uuid"),
        ("ab", "ab   ", "Char"),
    ],
)
def test_two_spellings_of_one_value(one: DefaultValue, other: DefaultValue, native: str) -> None:
    kind = of_native(NativeType(native))
    assert comparable(one, kind) == comparable(other, kind)


@pytest.mark.parametrize(
    ("one", "other", "type_"),
    [
        ('{"a": 1}', '{"a": true}', "Json"),
        ("a", "A", "String"),
        (Number("1"), Number("1.0000000000000000000000000000001"), "Decimal"),
        ((Number("1"),), (Number("1"), Number("1")), "Int"),
        (True, False, "Boolean"),
    ],
)
def test_two_values(one: DefaultValue, other: DefaultValue, type_: str) -> None:
    kind = of_native(DEFAULT_NATIVE[type_])
    assert comparable(one, kind) != comparable(other, kind)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_text_comes_back_from_its_quotes(text: str) -> None:
    quoted = "'" + text.replace("'", "''") + "'::text"
    assert default_of(quoted, "String", enum=False, is_list=False) == text


@given(st.text(max_size=40))
def test_any_expression_is_equal_to_itself(text: str) -> None:
    assert words(text) == words(text)

"""The checker of the server's log: what it takes for a statement in its own tenant, and what it does not."""

from __future__ import annotations

import json

import pytest

from benchmarks.faults.isolation_log import Checker, Entry, Report, entry_of
from benchmarks.faults.isolation_sql import DEFAULT, OPAQUE, Marker, path_of, statements_of

ACME, GLOBEX = "t_aaaaaaaa", "t_bbbbbbbb"
TASK = Marker("acme", 7)
OTHER = Marker("globex", 8)
IN_ACME = f'SET search_path = "{ACME}"'
IN_GLOBEX = f'SET search_path = "{GLOBEX}"'
IN_PUBLIC = 'SET search_path = "public"'
READ = "SELECT id FROM orders"
FAILS = "SET work_mem = 'nonsense'"


def begin(task: Marker = TASK) -> str:
    return f"{task.comment('begin')}SELECT 1"


def end(task: Marker = TASK) -> str:
    return f"{task.comment('end')}SELECT 1"


def by(statement: str, task: Marker = TASK) -> str:
    return f"{task.comment()}{statement}"


def error(statement: str, code: str = "22012") -> Entry:
    return Entry("s", 0, "error", statement, code)


def plan(path: str, *relations: str, is_nested: bool = False) -> Entry:
    lines = [f"  ->  Seq Scan on {name}  (cost=0.00..1.02 rows=1 width=4)" for name in relations]
    settings = [f"Settings: search_path = '{path}', work_mem = '4MB'"] if path else []
    text = "\n".join(
        ["duration: 0.1 ms  plan:", "Query Text: SELECT", "Nested Loop  (cost=0)", *lines, *settings]
    )
    return Entry("s", 0, "plan", text, is_nested=is_nested)


def check(*log: str | Entry) -> Report:
    """Read one session's statements, as text, and other entries."""
    entries = [
        Entry("s", at, "statement", one) if isinstance(one, str) else one for at, one in enumerate(log, 1)
    ]
    return Checker({"acme": ACME, "globex": GLOBEX}, ["jobs_job"]).read(entries).finish()


def rules(*log: str | Entry) -> list[str]:
    return [violation.rule for violation in check(*log).violations]


NOT_OURS = "its path is not its tenant's"


def test_a_task_in_its_own_path_is_no_violation() -> None:
    report = check(
        IN_ACME, begin(), IN_ACME, by(READ), IN_ACME, READ, end(), IN_PUBLIC, "SELECT 1 FROM jobs_job"
    )
    assert report.violations == []
    assert (report.statements, report.outside, report.jobs) == (3, 3, {7})


def test_a_task_in_another_tenants_path_is_one() -> None:
    assert rules(IN_GLOBEX, by(READ)) == [NOT_OURS]


def test_a_task_with_public_behind_its_tenant_is_one() -> None:
    assert rules(f'SET search_path = "{ACME}", public', by(READ)) == [NOT_OURS]


def test_a_path_nobody_set_is_not_the_tenants() -> None:
    assert rules(by(READ)) == [NOT_OURS]


def test_a_worker_that_stays_is_seen_at_the_next_task() -> None:
    assert rules(IN_ACME, begin(), end(), begin(OTHER), by(READ, OTHER), end(OTHER)) == [NOT_OURS, NOT_OURS]


def test_a_statement_between_tasks_must_not_be_in_a_tenant() -> None:
    assert rules(IN_ACME, begin(), end(), READ) == ["it runs in a tenant's path and belongs to no task"]


def test_a_task_may_touch_the_platforms_tables_in_public_and_no_other() -> None:
    assert rules(IN_ACME, begin(), IN_PUBLIC, by('SELECT state FROM "jobs_job"')) == []
    assert rules(IN_ACME, begin(), IN_PUBLIC, by("SELECT id FROM audit_event")) == [NOT_OURS]
    assert rules(IN_ACME, begin(), IN_PUBLIC, by("SELECT 1")) == [NOT_OURS]
    join = "SELECT 1 FROM jobs_job JOIN audit_event USING (id)"
    assert rules(IN_ACME, begin(), IN_PUBLIC, by(join)) == [NOT_OURS]


def test_a_task_that_names_another_schema_is_seen_also_in_a_literal() -> None:
    names = "it names another tenant's schema"
    assert rules(IN_ACME, by(f"SELECT id FROM {GLOBEX}.orders")) == [names]
    assert rules(IN_ACME, by(f'SELECT id FROM "{GLOBEX}"."orders"')) == [names]
    assert rules(IN_ACME, by(f"SELECT query_to_xml('TABLE {GLOBEX}.orders', true, true, '')")) == [names]
    assert rules(IN_ACME, by("SELECT id FROM public.jobs_job")) == ["it names public"]


@pytest.mark.parametrize(
    "undoing",
    [
        ["BEGIN", IN_GLOBEX, "ROLLBACK"],
        ["BEGIN", "SAVEPOINT a", IN_GLOBEX, "ROLLBACK TO SAVEPOINT a", "RELEASE SAVEPOINT a", "COMMIT"],
        ["BEGIN", f"SET LOCAL search_path TO {GLOBEX}", "COMMIT"],
        ["BEGIN", IN_GLOBEX, FAILS, error(FAILS), "COMMIT"],
        [f"{IN_GLOBEX}; {FAILS}", error(f"{IN_GLOBEX}; {FAILS}")],
        [f"SET LOCAL search_path = {GLOBEX}"],
        ["BEGIN", IN_GLOBEX, "COMMIT", error("COMMIT", "23503")],
    ],
)
def test_a_path_that_was_undone_is_not_taken_for_the_one_that_holds(undoing: list[str | Entry]) -> None:
    assert rules(IN_ACME, *undoing, by(READ)) == []


@pytest.mark.parametrize(
    "staying",
    [
        ["BEGIN", IN_GLOBEX, "COMMIT"],
        ["BEGIN", "SAVEPOINT a", IN_GLOBEX, "RELEASE SAVEPOINT a", "COMMIT"],
        ["BEGIN", "SAVEPOINT a", "SAVEPOINT b", IN_GLOBEX, "RELEASE SAVEPOINT a", "COMMIT"],
        [IN_GLOBEX, "BEGIN", IN_ACME, "ROLLBACK"],
        ["BEGIN", IN_GLOBEX, "SAVEPOINT a", IN_ACME, "ROLLBACK TO a", "COMMIT"],
        [IN_GLOBEX, f"{IN_ACME} nonsense", error(f"{IN_ACME} nonsense", "42601")],
        ["RESET search_path"],
        ["DISCARD ALL"],
        [f"SELECT pg_catalog.set_config('search_path', '{GLOBEX}', false)"],
        [f"SET search_path = 'public', \"{ACME}\""],
    ],
)
def test_a_path_that_stays_is_seen(staying: list[str | Entry]) -> None:
    assert NOT_OURS in rules(IN_ACME, *staying, by(READ))


def test_what_cannot_be_followed_is_a_violation_and_not_a_guess() -> None:
    block = "DO $$ BEGIN PERFORM set_config('search' || '_path', 'x', false); EXECUTE 'SET search_path = x'; END $$"
    assert rules(IN_ACME, by(block), by(READ)) == ["its path cannot be known"]
    half = f"BEGIN; {IN_GLOBEX}; COMMIT; {FAILS}"
    assert rules(IN_ACME, half, error(half)) == [
        "it failed half-way between transactions: nobody can say what remains"
    ]


def test_a_statement_refused_in_a_failed_transaction_never_ran() -> None:
    refused = by(READ, OTHER)
    fails = by("SELECT 1/0")
    log: list[str | Entry] = [
        IN_ACME,
        begin(),
        "BEGIN",
        fails,
        error(fails),
        refused,
        error(refused, "25P02"),
    ]
    report = check(*log, "ROLLBACK", by(READ))
    assert (report.violations, report.unrun) == ([], 1)


def test_the_replay_notices_that_it_lost_its_way() -> None:
    title = Entry("s", 2, "statement", by(READ), state="idle in transaction")
    assert rules(IN_ACME, title) == ["the server's transaction is 'idle in transaction', the replay's 'idle'"]
    assert rules(IN_ACME, "BEGIN", FAILS, error(FAILS), by(READ)) == [
        "the server ran it in a transaction that had failed"
    ]


def test_a_cursor_reads_where_it_was_declared() -> None:
    declare = f'DECLARE "c" NO SCROLL CURSOR FOR {by(READ)}'
    fetch = 'FETCH FORWARD 7 FROM "c"'
    assert rules(IN_ACME, begin(), "BEGIN", declare, IN_GLOBEX.replace("b", "c"), fetch) == []
    assert rules(IN_GLOBEX, "BEGIN", declare, IN_ACME, fetch) == [NOT_OURS, NOT_OURS]


def test_the_servers_plan_is_held_against_the_replay() -> None:
    ours = [IN_ACME, by(READ)]
    assert rules(*ours, plan(ACME, f"{ACME}.orders", "pg_catalog.pg_class")) == []
    assert rules(*ours, plan(GLOBEX, f"{ACME}.orders")) == ["the server's plan tells of another path"]
    assert rules(*ours, plan("", f"{ACME}.orders")) == ["the server's plan tells of another path"]
    assert rules(*ours, plan(ACME, f"{ACME}.orders", f"{GLOBEX}.orders")) == [
        f"the server's plan touches {GLOBEX}.orders"
    ]
    assert rules(*ours, plan(ACME, "public.audit_event")) == ["the server's plan touches public.audit_event"]


def test_a_trigger_function_with_a_path_of_its_own_stays_in_the_tenant() -> None:
    ours = [IN_ACME, by("UPDATE orders SET id = 1")]
    assert rules(*ours, plan("pg_catalog", f"{ACME}.orders_history", is_nested=True)) == []
    assert rules(*ours, plan("pg_catalog", f"{GLOBEX}.orders_history", is_nested=True)) == [
        f"the server's plan touches {GLOBEX}.orders_history"
    ]


def test_a_check_at_commit_may_read_the_tenant_the_transaction_worked_for() -> None:
    work = [IN_ACME, "BEGIN", begin(), end(), IN_PUBLIC, "UPDATE jobs_job SET step = 1", "COMMIT"]
    assert rules(*work, plan("public", f"{ACME}.orders")) == []
    assert rules(*work, plan("public", f"{GLOBEX}.orders")) == [f"the server's plan touches {GLOBEX}.orders"]


def test_what_a_side_connection_could_not_mark_belongs_to_whom_it_served() -> None:
    assert rules(IN_ACME, by(READ), "COPY orders TO STDOUT") == []
    assert rules(IN_ACME, by(READ), IN_PUBLIC, "COPY orders TO STDOUT") == [NOT_OURS]


def test_a_marker_in_a_literal_marks_nothing() -> None:
    (statement,) = statements_of(f"SELECT '{OTHER.comment()}' FROM orders {TASK.comment()}")
    assert statement.marker == TASK


def test_another_tasks_statement_inside_a_tasks_part_is_seen() -> None:
    assert rules(IN_ACME, begin(), by(READ, OTHER)) == ["it lies inside another task's part of the session"]


@pytest.mark.parametrize(
    ("text", "relations"),
    [
        ("SELECT a FROM x, y JOIN \"Z\" USING (id)", {"x", "Z"}),
        ("INSERT INTO t (a) SELECT 1 FROM generate_series(1, 9)", {"t"}),
        ("INSERT INTO t (a) VALUES ('from q') ON CONFLICT DO UPDATE SET a = 1", {"t"}),
        ("WITH p AS MATERIALIZED (SELECT id FROM j FOR UPDATE SKIP LOCKED) UPDATE j SET a = 1 FROM p", {"j"}),
        ("COPY public.t (a) FROM STDIN", {"public.t", "stdin"}),
        ("DELETE FROM ONLY t -- from q\n WHERE a IS DISTINCT FROM b /* from q */", {"t"}),
    ],
)  # fmt: skip
def test_tables_are_read_out_of_a_statement(text: str, relations: set[str]) -> None:
    (statement,) = statements_of(text)
    assert statement.relations == relations


def test_literals_names_and_comments_hide_nothing_of_each_other() -> None:
    text = "SELECT 'it''s; -- no', E'\\'; SET', \"a;b\", $x$;$x$ /* ; */; SET search_path TO a, \"B\" -- ;"
    first, second = statements_of(text)
    assert (first.action, second.action, second.value) == ("query", "set", ("a", "B"))


def test_paths_are_read_as_the_server_reads_them() -> None:
    assert path_of("\"$user\", Public, 'Mine'") == ("$user", "public", "Mine")
    assert statements_of("SET SESSION search_path TO DEFAULT")[0].value == DEFAULT
    assert statements_of("SELECT set_config('search_path', x, false) FROM y")[0].value == OPAQUE
    assert statements_of("SELECT current_setting('search_path')")[0].value == ()


def test_a_line_of_the_log_becomes_an_entry() -> None:
    said = {"session_id": "a.1", "line_num": 3, "backend_type": "client backend", "error_severity": "LOG"}
    assert entry_of(json.dumps({**said, "message": "statement: SELECT\n1", "ps": "idle"})) == Entry(
        "a.1", 3, "statement", "SELECT\n1", state="idle"
    )
    failed = {"error_severity": "ERROR", "state_code": "22012", "message": "no", "statement": "SELECT 1/0"}
    assert entry_of(json.dumps({**said, **failed})) == Entry("a.1", 3, "error", "SELECT 1/0", "22012")
    assert entry_of(json.dumps({**said, "message": "disconnection: bye"})) == Entry("a.1", 3, "end")
    assert entry_of(json.dumps({**said, "backend_type": "checkpointer", "message": "statement: x"})) is None

"""`cw-store stats`: numbers to set alarms on."""

from command_line import CommandLine
from prometheus_client.parser import text_string_to_metric_families
from stores import BOTH

pytestmark = BOTH


def test_stats_are_facts_and_tables_or_json(typed: CommandLine) -> None:
    done = typed("stats", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.data["rows"]["tasks"] == 0
    assert done.data["questions_oldest_age_seconds"] is None
    shown = typed("stats")
    assert "accounts_available\t0" in shown.out
    assert typed.on_terminal("stats").code == 0


def test_stats_are_text_for_prometheus(typed: CommandLine) -> None:
    done = typed("stats", "--prometheus")
    families = {family.name for family in text_string_to_metric_families(done.out)}
    assert {"cw_store_tasks", "cw_store_agents", "cw_store_rows"} <= families
    is_server = typed.url.startswith("postgresql")
    assert ("cw_store_log_bytes" in families) is not is_server

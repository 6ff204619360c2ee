"""The example that shows what OpenTelemetry and Prometheus see of a store."""

import re

import pytest
from examples.observability.__main__ import main
from prometheus_client.parser import text_string_to_metric_families


@pytest.mark.parametrize("database", ["file", "postgres"], indirect=True)
async def test_spans_are_a_tree_and_the_rest_is_text_for_prometheus(
    database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await main(database)
    tree, text = capsys.readouterr().out.split("\n\n")
    assert re.sub(r"\d+ us", "…", tree).splitlines() == [
        "there is no task none",
        "plan a login page  …",
        "  cw_store.unit  …",
        "    tasks.create  …",
        "    tasks.create  …",
        "    tasks.create_dependency  …",
        "  tasks.update  …  cw_store.errors.NotFoundError",
    ]
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["cw_store_method_calls_total", "tasks.create"] == 2
    assert samples["cw_store_units_total", "committed"] == 1
    assert samples["cw_store_tasks", "pending"] == 2

"""What the project says of itself to those who take part: workflow, templates, versions."""

import re
from pathlib import Path
from typing import Any, cast

import pytest
import yaml  # pyright: ignore[reportMissingModuleSource] -- its types are no dependency

from pythons import minor_versions
from release import faults, number

PROJECT = Path(__file__).parents[1]
WORKFLOW = PROJECT / ".github/workflows/check.yml"
DATED = "## [Unreleased]\n\n## [1.2.0] - 2026-01-31\n\n### Added\n\n- x\n"


def read(path: Path) -> dict[str, Any]:
    return cast(dict[str, Any], yaml.safe_load(path.read_text()))


def targets() -> set[str]:
    found = re.findall(r"^([a-z-]+):.*## ", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    return {*found}


def test_the_workflow_runs_every_python_on_both_systems() -> None:
    matrix = read(WORKFLOW)["jobs"]["test"]["strategy"]["matrix"]
    assert {f"3.{minor}" for minor in minor_versions()} <= {*matrix["python"]}
    assert {system.partition("-")[0] for system in matrix["system"]} == {"ubuntu", "macos"}


def test_the_workflow_may_only_read_and_has_no_secret() -> None:
    workflow, text = read(WORKFLOW), WORKFLOW.read_text()
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in text
    assert "pull_request_target" not in text
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 60
        for step in job["steps"]:
            used = step.get("uses")
            assert used is None or re.fullmatch(r"actions/[\w-]+@v\d+\.\d+\.\d+", used)


def test_what_the_workflow_and_the_hooks_run_are_targets_of_make() -> None:
    runs = re.findall(r"make (?:--[\w-]+ )?([a-z-]+)", WORKFLOW.read_text())
    config = PROJECT / ".pre-commit-config.yaml"
    hooks = read(config)["repos"]
    runs += re.findall(r"entry: make (?:--[\w-]+ )?([a-z-]+)", config.read_text())
    assert {*runs} <= targets()
    assert [repository["repo"] for repository in hooks] == ["local"], "nothing is fetched"
    assert {hook["language"] for hook in hooks[0]["hooks"]} == {"system"}


@pytest.mark.parametrize("name", ["bug.yml", "idea.yml"])
def test_an_issue_asks_for_what_is_needed(name: str) -> None:
    form = read(PROJECT / ".github/ISSUE_TEMPLATE" / name)
    assert form["name"]
    assert form["description"]
    asked = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in asked}) == len(asked)
    assert all(field["attributes"]["label"] for field in asked)


def test_what_contributors_are_told_to_read_is_there() -> None:
    for name in ("CONTRIBUTING.md", "SECURITY.md"):
        for link in re.findall(r"\]\(([^)#:]+)", (PROJECT / name).read_text()):
            assert (PROJECT / link).exists(), f"{name}: {link}"
    for target in re.findall(
        r"(?:`|^)make ([a-z-]+)", (PROJECT / "CONTRIBUTING.md").read_text(), re.MULTILINE
    ):
        assert target in targets(), target


@pytest.mark.parametrize(
    ("changelog", "fault"),
    [
        (DATED, None),
        (DATED.replace("1.2.0", "1.1.0"), "has no section"),
        (DATED.replace(" - 2026-01-31", ""), "has no section"),
        (DATED.replace("d]\n", "d]\n\n- y\n", 1), "would leave out"),
        ("## [1.2.0] - 2026-01-31\n", "does not begin"),
    ],
)
def test_a_release_has_a_dated_section_of_all_that_is_new(
    changelog: str, fault: str | None
) -> None:
    found = [*faults("1.2.0", changelog)]
    assert found == [] if fault is None else [fault in one for one in found] == [True]


def test_the_source_says_a_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", number())

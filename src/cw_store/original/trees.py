"""Trees of the source: no loops, one root page for each initiative, tasks where their phase is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cw_store.original.findings import Draft, Findings

LOOP = "it was below itself"
ELSEWHERE = "its parent belongs to another initiative"


def plant(
    drafts: Mapping[str, Sequence[Draft]], orphans: Sequence[Draft], findings: Findings
) -> None:
    """Set right what of tasks, messages and pages hangs together as no store lets it.

    `orphans` are the rows whose parent was not there. The order of storing decides which of two
    goes first.
    """
    _place_tasks(drafts["phases"], drafts["tasks"], findings)
    _break_loops(drafts["messages"], "parent_message_id", findings)
    _place_pages(drafts["pages"], orphans, findings)


def there(drafts: Sequence[Draft]) -> list[Draft]:
    """Return the rows that are not left out."""
    return [draft for draft in drafts if not draft.is_left_out]


def _place_tasks(phases: Sequence[Draft], tasks: Sequence[Draft], findings: Findings) -> None:
    of_phase = {phase.id: phase.values["initiative_id"] for phase in there(phases)}
    for task in there(tasks):
        phase_id, own = task.values["phase_id"], task.values["initiative_id"]
        if phase_id is not None and own != of_phase[phase_id]:
            task.values["initiative_id"] = of_phase[phase_id]
            if own is not None:  # what was not said is known from the phase
                reason = "it is in a phase of another initiative"
                new = of_phase[phase_id]
                findings.repair(task, "initiative", reason, "initiative_id", own, new)
    _break_loops(tasks, "parent_task_id", findings)
    by_id = {task.id: task for task in there(tasks)}
    for task in by_id.values():
        _place_below(task, by_id, findings)


def _place_below(task: Draft, by_id: Mapping[str | None, Draft], findings: Findings) -> None:
    """Give a task without an initiative its parent's, and part it from one of another."""
    line = [task]
    while line[-1].values["initiative_id"] is None and line[-1].values["parent_task_id"]:
        line.append(by_id[line[-1].values["parent_task_id"]])
    initiative_id = line[-1].values["initiative_id"]
    for each in line:
        each.values["initiative_id"] = initiative_id
    parent = by_id.get(task.values["parent_task_id"])
    above = None if parent is None else parent.values["initiative_id"]
    if above is not None and above != initiative_id:
        old = task.values["parent_task_id"]
        task.values["parent_task_id"] = None
        findings.repair(task, "parent", ELSEWHERE, "parent_task_id", old, None)


def _break_loops(drafts: Sequence[Draft], column: str, findings: Findings) -> list[Draft]:
    """Take the parent from the first row of each loop; return these rows."""
    by_id = {draft.id: draft for draft in there(drafts)}
    broken: list[Draft] = []
    seen: set[str | None] = set()
    for draft in by_id.values():
        line: dict[str | None, Draft] = {}
        each: Draft | None = draft
        while each is not None and each.id not in seen and each.id not in line:
            line[each.id] = each
            each = by_id.get(each.values[column])
        if each is not None and each.id in line:
            ids = list(line)
            loop = [line[id] for id in ids[ids.index(each.id) :]]
            broken.append(_break_loop(loop, column, findings))
        seen |= line.keys()
    return broken


def _break_loop(loop: Sequence[Draft], column: str, findings: Findings) -> Draft:
    first = min(loop, key=lambda draft: draft.number)
    old = first.values[column]
    first.values[column] = None
    findings.repair(first, "loop", LOOP, column, old, None)
    return first


def _place_pages(pages: Sequence[Draft], orphans: Sequence[Draft], findings: Findings) -> None:
    """Leave each initiative one root page, and have what lost its parent below that."""
    column = "parent_page_id"
    parted = [*orphans, *_part_from_elsewhere(pages, findings)]
    parted += _break_loops(pages, column, findings)
    lost = {page.id for page in parted if page.table.name == "pages"}
    roots: dict[str, list[Draft]] = {}
    for page in there(pages):
        if page.values[column] is None:
            roots.setdefault(page.values["initiative_id"], []).append(page)
    for candidates in roots.values():
        root = min(candidates, key=lambda page: (page.id in lost, page.number))
        for page in candidates:
            if page is not root:
                page.values[column] = root.id
                if page.id not in lost:
                    reason = "its initiative has an older root page; it is below that"
                    findings.repair(page, "root", reason, column, None, root.id)


def _part_from_elsewhere(pages: Sequence[Draft], findings: Findings) -> list[Draft]:
    by_id = {page.id: page for page in there(pages)}
    parted: list[Draft] = []
    for page in by_id.values():
        parent = by_id.get(page.values["parent_page_id"])
        if parent is not None and parent.values["initiative_id"] != page.values["initiative_id"]:
            page.values["parent_page_id"] = None
            findings.repair(page, "parent", ELSEWHERE, "parent_page_id", parent.id, None)
            parted.append(page)
    return parted

"""A rehearsal in the formats of the ecosystem. Pure: what it found in, text out."""

from __future__ import annotations

import json
from dataclasses import asdict
from xml.etree import ElementTree

from opsbook.rehearsal.model import Outcome, Rehearsal, Verdict

TAG = {Verdict.FAILS: "failure", Verdict.NEEDS: "error", Verdict.BY_HAND: "skipped", Verdict.LEFT_OUT: "skipped"}


def as_json(rehearsal: Rehearsal) -> str:
    """Everything, for programs."""
    document = asdict(rehearsal)
    document["at"], document["since"] = rehearsal.at.isoformat(), rehearsal.since.isoformat()
    document["works"] = rehearsal.works
    for told, outcome in zip(document["outcomes"], rehearsal.outcomes, strict=True):
        told["sentence"] = outcome.sentence
        told["undo"]["sentence"] = outcome.undo.sentence
    return json.dumps(document, indent=2, ensure_ascii=False, default=str)


def as_junit(rehearsal: Rehearsal) -> str:
    """A test case per procedure: one that fails is a failure, one that needs something an error, by hand is skipped."""
    counts = {
        "tests": len(rehearsal.outcomes),
        "failures": len(rehearsal.of(Verdict.FAILS)),
        "errors": len(rehearsal.of(Verdict.NEEDS)),
        "skipped": len(rehearsal.of(Verdict.LEFT_OUT)) + len(rehearsal.of(Verdict.BY_HAND)),
    }
    numbers = {name: str(number) for name, number in counts.items()}
    told = {"name": f"{rehearsal.system} {rehearsal.environment}", "time": f"{rehearsal.seconds:.3f}", **numbers}
    root = ElementTree.Element("testsuites", told)
    at = rehearsal.at.strftime("%Y-%m-%dT%H:%M:%S")
    suite = ElementTree.SubElement(root, "testsuite", {**told, "timestamp": at})
    for outcome in rehearsal.outcomes:
        case = ElementTree.SubElement(
            suite, "testcase", name=outcome.procedure, classname=rehearsal.system, time=f"{outcome.seconds:.3f}"
        )
        if tag := TAG.get(outcome.verdict):
            ElementTree.SubElement(case, tag, message=_clean(outcome.sentence), type=outcome.step or outcome.verdict)
        if lines := details(outcome):
            ElementTree.SubElement(case, "system-out").text = _clean("\n".join(lines))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def details(outcome: Outcome) -> list[str]:
    """What there is to say besides the verdict, a line each."""
    lines = [f"{one.name} = {one.value} ({one.origin})" for one in outcome.samples]
    if outcome.run:
        lines.append(f"undo: {outcome.undo.sentence}")
    lines += [f"no undo of {one}" for one in outcome.undo.impossible]
    lines += [f"step {one.step}: {one.sentence}" for one in outcome.deviations]
    lines += [f"{one.check} was {one.before} and is {one.after}" for one in outcome.checks if one.before != one.after]
    return lines + list(outcome.notes)


def _clean(text: str) -> str:
    """XML 1.0 has no place for control characters, and servers' messages may hold them."""
    return "".join(c if c in "\t\n" or c >= " " else "?" for c in text)

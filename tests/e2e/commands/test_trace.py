"""``prebake trace`` of a running container and of the report of its build."""

from __future__ import annotations

import json

from prebake.docker.connection import Connection
from prebake.measure.trace.trace_events import CRITICAL
from tests.support.commands.projects import Built
from tests.support.serving import serving


def test_the_start_of_a_container_and_that_of_the_build_are_traced(engine: Connection, toy: Built) -> None:
    with serving(engine, toy.tag) as service:
        url = f"http://127.0.0.1:{service.port}"
        running = json.loads(toy.project.run("trace", url).expect(0).stdout)
        startup = service.get("/startup").json()
    (toy.project.root / "told.json").write_text(json.dumps(toy.report))  # the report on the disk is of the last build
    toy.project.run("trace", "told.json", "--output", "start.json").expect(0)
    built = json.loads((toy.project.root / "start.json").read_text(encoding="utf-8"))

    phases = [event for event in running["traceEvents"] if event["ph"] == "X"]
    reported = [phase for phase in startup["phases"] if phase["name"] != "live"]
    assert sorted((event["name"], event["ts"]) for event in phases) == sorted(
        (phase["name"], round(phase["start"] * 1e6)) for phase in reported
    )
    assert phases[0]["name"] == "launch"
    for trace, processes in ((running, 2), (built, 3)):  # a container does not know when the Engine was asked for it
        named = [event for event in trace["traceEvents"] if event["name"] == "process_name"]
        assert len(named) == processes
        critical = {event["name"] for event in trace["traceEvents"] if event.get("cat") == CRITICAL}
        assert "warm-up" in critical
    (start,) = (event for event in built["traceEvents"] if event["name"] == "container start")
    assert start["args"]["digest"] == toy.report["digest"]

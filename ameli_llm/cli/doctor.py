"""``ameli-llm doctor``: what can be used here, and what to type for the rest."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import groupby

import typer

import ameli_llm
from ameli_llm.cli.terminal import say


def register(app: typer.Typer) -> None:
    """Adds ``doctor`` to the app."""
    app.command("doctor")(doctor)


def doctor(as_json: bool = typer.Option(False, "--json", help="Print one JSON object.")) -> None:
    """Show what can be used here and what to type for the rest."""
    from ameli_llm.doctor import examine
    from ameli_llm.machine import inspect_machine

    machine = inspect_machine()
    findings = examine(machine)
    if as_json:
        here = {"version": ameli_llm.__version__, "python": machine.python, "cores": machine.cores}
        rows = [asdict(finding) for finding in findings]
        typer.echo(json.dumps({**here, "gpus": list(machine.gpus), "findings": rows}))
        return
    gpus = ", ".join(machine.gpus) or "no NVIDIA GPU"
    say(f"ameli-llm {ameli_llm.__version__}, Python {machine.python}, {machine.cores} CPU cores, {gpus}")
    width = max(len(finding.name) for finding in findings)
    for section, group in groupby(findings, key=lambda finding: finding.section):
        say(f"\n{section}")
        for finding in group:
            say(f"  {finding.status:<7}  {finding.name:<{width}}  {finding.detail}")
            if finding.fix:
                say(f"  {'':<7}  {'':<{width}}  -> {finding.fix}")

"""`darkmatter audit …`: five commands for a reader who trusts nobody.

Exit codes, the gravest that applies:

    0  nothing is wrong                      4  differs: a number does not follow from its sums
    1  the audit could not be made           5  rule-changed: a rule changed after its result had been seen
    2  wrong arguments                       6  stale: other code, parameters or inputs than those here
    3  tampered: other bytes than written    7  missing: not here, so not checked
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from darkmatter.audit.command_line import add_command, drop_output
from darkmatter.audit.findings import EXIT_CODES, MALFORMED, AuditFinding, as_json, as_text, exit_code, printable
from darkmatter.audit.profiles import add_profile
from darkmatter.params.types import ParamsError
from darkmatter.storage.artifacts import ArtifactError, plain

Said = tuple[dict[str, Any], list[str], list[AuditFinding], list[str]]  # as JSON, as text, what is wrong, last lines
EXPORTS = ("codecheck", "ro-crate", "checklist")


def add_audit(commands: argparse._SubParsersAction) -> None:
    """Add `audit` with its commands to the parser of `darkmatter`."""
    description = f"Check this repository's results.\n{__doc__.split(chr(10), 2)[2]}"
    audit = add_command(commands, "audit", "check this repository's results", "derive pursuit-fvu", description)
    audit.set_defaults(run=lambda given: audit.print_help())
    audits = audit.add_subparsers(metavar="COMMAND", title="commands")

    verify = add_command(
        audits, "verify", "hash every output and cache object again, against dvc.lock and receipts", "--committed"
    )
    verify.add_argument("--committed", action="store_true", help="only what git holds, for a clone without data")
    verify.add_argument("--paper", type=Path, metavar="FILE", help="the paper's text: find every quote in it again")
    verify.set_defaults(audits=said_by_verify)

    derive = add_command(audits, "derive", "make numbers again from the stored sums, and compare", "pursuit-fvu")
    derive.add_argument(
        "names", nargs="*", default=["claims"], metavar="NAME", help="claims, stages or figures; default: all claims"
    )
    add_profile(derive)
    derive.add_argument("--list", action="store_true", help="what can be named")
    derive.add_argument("--values", action="store_true", help="every number as derived, with its place in its file")
    derive.set_defaults(audits=said_by_derive)

    explain = add_command(audits, "explain", "a claim: what it says, by which rule, and what came out", "pursuit-fvu")
    explain.add_argument("claim", metavar="CLAIM", help="its name in claims.yaml")
    add_profile(explain)
    explain.add_argument("--full", action="store_true", help="from its sentence to the hashes behind our number")
    explain.set_defaults(audits=said_by_explain)

    rerun = add_command(
        audits, "rerun", "run a stage again in a clean clone, and compare what it writes", "latent_probe"
    )
    rerun.add_argument("stage", metavar="STAGE", help="its name in dvc.yaml")
    rerun.set_defaults(audits=said_by_rerun)

    export = add_command(
        audits, "export", "drafts for others: a CODECHECK manifest, an RO-Crate, a checklist", "checklist"
    )
    export.add_argument("kind", choices=EXPORTS, help="of the draft")
    export.add_argument("--out", type=Path, default=Path("export"), metavar="FOLDER", help="default: export")
    export.add_argument("--with-files", action="store_true", help="ro-crate: copy code, parameters and reports into it")
    export.set_defaults(audits=said_by_export)

    for parser in (verify, derive, explain, rerun, export):
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
        parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """The exit code of the command; what it found is printed."""
    try:
        content, lines, findings, last = given.audits(given)
    except (ArtifactError, ParamsError, OSError) as error:
        return failed(str(error), given.json)
    except MALFORMED as error:
        kind = f"{type(error).__name__}: {str(error)[:200]}"
        where = "`darkmatter audit verify` names the files that are not as written"
        return failed(f"a file here has not the form that its stage gives it ({kind}); {where}", given.json)
    code = exit_code(findings)
    if given.json:
        text = json.dumps(plain(content) | {"findings": as_json(findings), "exit_code": code}, indent=2)
    else:
        text = "\n".join(map(printable, [*lines, *as_text(findings), *last]))
    try:
        print(text, flush=True)
    except BrokenPipeError:
        drop_output()
    return code


def failed(message: str, as_json: bool) -> int:
    """The exit code of an audit that could not be made. The JSON goes where that of one that was made goes."""
    if as_json:
        print(json.dumps({"error": message, "exit_code": 1}, indent=2))
    else:
        print(f"error: {printable(message)}", file=sys.stderr)
    return 1


def said_by_verify(given: argparse.Namespace) -> Said:
    from darkmatter.audit.rules import quote_findings
    from darkmatter.audit.verify import verify

    done = verify(Path(), given.committed)
    findings = done.findings + (list(quote_findings(given.paper)) if given.paper else [])
    counts = {kind: sum(finding.kind == kind for finding in findings) for kind in EXIT_CODES}
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "nothing wrong"
    return (
        {"stages": done.stages, "hashed": done.hashed, "others": done.others, "counts": counts},
        done.others,
        findings,
        [f"{done.stages} stages, {done.hashed} outputs and cache objects hashed: {told}"],
    )


def said_by_derive(given: argparse.Namespace) -> Said:
    from darkmatter.audit.derive import Deriver, as_content, numbers_of, overall, values_of

    deriver = Deriver(given.profile)
    if given.list:
        return {"names": deriver.names()}, deriver.names(), [], []
    done = [item for name in dict.fromkeys(given.names) for item in deriver.derive(name)]
    values = values_of if given.values else lambda item: []
    lines = [line for item in done if not item.empty for line in (item.summary(), *numbers_of(item), *values(item))]
    content = [as_content(item) | ({"values": dict(item.comparison.values)} if given.values else {}) for item in done]
    return {"derived": content}, lines, [x for item in done for x in item.findings()], [overall(done)]


def said_by_explain(given: argparse.Namespace) -> Said:
    from darkmatter.audit.explain import as_text, explain, in_brief

    result = explain(given.claim, given.profile)
    stale = [AuditFinding("stale", item["stage"], item["stale"]) for item in result["stages"] if item["stale"]]
    told = as_text(result) if given.full else in_brief(result)
    return result, told, [*stale, *other_rule(given.claim, result["rule"])], []


def other_rule(claim: str, rule: dict[str, Any]) -> list[AuditFinding]:
    """What is wrong where another rule judged than that of the ledger now."""
    if rule["is_the_one_in_claims_yaml"]:
        return []
    if edition := rule["of_earlier_edition"]:
        return [AuditFinding("stale", claim, f"was judged by its rule of edition {edition}; `dvc repro claims`")]
    return [AuditFinding("rule-changed", claim, "claims.yaml has another rule than judged it")]


def said_by_rerun(given: argparse.Namespace) -> Said:
    from darkmatter.audit.rerun import rerun

    outputs = rerun(given.stage, Path())
    lines = [f"{item.path}: same {item.same}" for item in outputs if item.same in ("bytes", "numbers")]
    lines += [f"{item.path}: {item.detail}" for item in outputs if item.same == "volatile"]
    content = [{"path": item.path, "same": item.same, "detail": item.detail} for item in outputs]
    return {"stage": given.stage, "outputs": content}, lines, [x for item in outputs for x in item.findings()], []


def said_by_export(given: argparse.Namespace) -> Said:
    from darkmatter.audit.export import export

    if given.with_files and given.kind != "ro-crate":
        raise ArtifactError(f"--with-files is for ro-crate, not for {given.kind}")
    written = [path.as_posix() for path in export(given.kind, given.out, Path(), given.with_files)]
    return {"written": written}, [f"draft: {path}" for path in written], [], []

"""Exports two suites of AgentDojo for the replay, and judges what the replay let through.

    export.py export DIR    writes DIR/SUITE/{prompts,runs}.json for workspace and banking
    export.py judge         reads from standard input {SUITE: [{user, injection, position, allowed}]}: after how many calls
                            of the user the attacker's stand, and call by call whether it was let through; carries those
                            out in a fresh environment and writes {SUITE: [{utility, security}]}, both by the suite's own
                            functions

Runs without a model and without the net: what an agent would do is the ground truth that the suites bring with them.
"""

import hashlib
import json
import sys
import warnings
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

warnings.filterwarnings("ignore")

from agentdojo.attacks.important_instructions_attacks import ImportantInstructionsAttack  # noqa: E402
from agentdojo.functions_runtime import FunctionsRuntime  # noqa: E402
from agentdojo.task_suite.load_suites import get_suite  # noqa: E402
from agentdojo.types import text_content_block_from_string  # noqa: E402

SUITES = ("workspace", "banking")
VERSION = "v1.2.2"


def plain(value):
    """As JSON."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


def places(value, text, path=""):
    """Where in a value a text stands, list positions left out."""
    if isinstance(value, str):
        return {path} if text in value else set()
    if isinstance(value, dict):
        return {each for key, item in value.items() for each in places(item, text, f"{path}.{key}".lstrip("."))}
    if isinstance(value, list):
        return {each for item in value for each in places(item, text, path)}
    return set()


class Recorder:
    """Makes calls in one environment and keeps each result once, by its digest."""

    def __init__(self, suite, results):
        self.runtime = FunctionsRuntime(suite.tools)
        self.results = results

    def call(self, environment, call, by):
        result, error = self.runtime.run_function(environment, call.function, dict(call.args))
        value = plain(result)
        text = json.dumps(value, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.results[digest] = value
        told = {"by": by, "tool": call.function, "args": plain(dict(call.args)), "result": digest}
        return {**told, "error": error} if error else told, value


def start(suite, user_task, texts):
    """The environment as a user task finds it, with these texts planted."""
    return user_task.init_environment(suite.load_and_inject_default_environment(texts))


def candidates(suite, user_task):
    """The places for planted text that this task reads."""
    marks = {name: f"<MARK---{name}--->" for name in suite.get_injection_vector_defaults()}
    environment = start(suite, user_task, marks)
    recorder = Recorder(suite, {})
    seen = set()
    for call in user_task.ground_truth(environment.model_copy(deep=True)):
        _, value = recorder.call(environment, call, "user")
        seen |= {name for name, mark in marks.items() if places(value, mark)}
    return sorted(seen)


def honest_run(suite, results, user_task):
    environment = start(suite, user_task, {})
    recorder = Recorder(suite, results)
    return [
        recorder.call(environment, call, "user")[0] for call in user_task.ground_truth(environment.model_copy(deep=True))
    ]


def wish_run(suite, results, injection_task):
    """What an attacker wants, as a user would ask for it: nothing is planted."""
    environment = suite.load_and_inject_default_environment({})
    recorder = Recorder(suite, results)
    theirs = injection_task.ground_truth(environment.model_copy(deep=True))
    return {"prompt": injection_task.GOAL, "calls": [recorder.call(environment, call, "user")[0] for call in theirs]}


def planted(suite, injection_task, vectors):
    """The text that the package's own strongest fixed attack plants."""
    text = ImportantInstructionsAttack._JB_STRING.format(
        goal=injection_task.GOAL, user="Emma Johnson", model="the AI language model"
    )
    return {vector: text for vector in vectors}


def attacked_plan(environment, user_task, injection_task):
    ours = user_task.ground_truth(environment.model_copy(deep=True))
    theirs = injection_task.ground_truth(environment.model_copy(deep=True))
    return ours, theirs


def attacked_run(suite, results, user_task, injection_task, vectors):
    """The user's calls until one has read the planted text, then the attacker's, then the rest of the user's."""
    texts = planted(suite, injection_task, vectors)
    environment = start(suite, user_task, texts)
    ours, theirs = attacked_plan(environment, user_task, injection_task)
    recorder = Recorder(suite, results)
    calls, where, read = [], set(), False
    for call in ours:
        told, value = recorder.call(environment, call, "user")
        calls.append(told)
        found = places(value, injection_task.GOAL)
        where |= {f"{call.function}: {path or 'the text'}" for path in found}
        if found and not read:
            read = True
            calls += [recorder.call(environment, each, "injection")[0] for each in theirs]
    return {"calls": calls, "read": read, "where": sorted(where)}


def scripted(suite):
    environment = suite.load_and_inject_default_environment({})
    return [
        task for task in suite.injection_tasks.values() if len(task.ground_truth(environment.model_copy(deep=True))) > 0
    ]


def output_schema(function):
    return TypeAdapter(function.return_type).json_schema()


def export(directory):
    for name in SUITES:
        suite = get_suite(VERSION, name)
        environment = suite.load_and_inject_default_environment({})
        owner = environment.inbox.account_email if name == "workspace" else environment.bank_account.iban
        results = {}
        prompts = {
            "suite": name,
            "owner": owner,
            "tools": [
                {
                    "name": each.name,
                    "description": each.description,
                    "inputSchema": each.parameters.model_json_schema(),
                    "outputSchema": output_schema(each),
                }
                for each in suite.tools
            ],
            "tasks": [{"id": task.ID, "prompt": task.PROMPT} for task in suite.user_tasks.values()],
        }
        honest, attacks = {}, []
        for user_task in suite.user_tasks.values():
            honest[user_task.ID] = honest_run(suite, results, user_task)
            vectors = candidates(suite, user_task)
            for task in scripted(suite):
                run = attacked_run(suite, results, user_task, task, vectors)
                attacks.append({"user": user_task.ID, "injection": task.ID, "vectors": vectors, **run})
        wishes = {task.ID: wish_run(suite, results, task) for task in scripted(suite)}
        unscripted = sorted(set(suite.injection_tasks) - set(wishes))
        runs = {"honest": honest, "attacks": attacks, "wishes": wishes, "unscripted": unscripted, "results": results}
        folder = directory / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "prompts.json").write_text(json.dumps(prompts, indent=1))
        (folder / "runs.json").write_text(json.dumps(runs, separators=(",", ":")))
        print(f"{name}: {len(honest)} user tasks, {len(attacks)} scripted attacks", file=sys.stderr)


def carry_out(suite, verdict, vectors):
    """What the suite itself says of a run of which some calls were refused."""
    user_task = suite.user_tasks[verdict["user"]]
    injection_task = suite.injection_tasks.get(verdict["injection"])
    texts = planted(suite, injection_task, vectors) if injection_task else {}
    environment = start(suite, user_task, texts)
    before = environment.model_copy(deep=True)
    if injection_task:
        ours, theirs = attacked_plan(environment, user_task, injection_task)
        position = verdict["position"]
        plan = [*ours[:position], *theirs, *ours[position:]] if position else ours
    else:
        plan = user_task.ground_truth(environment.model_copy(deep=True))
    runtime = FunctionsRuntime(suite.tools)
    allowed = verdict["allowed"]
    assert len(plan) == len(allowed), verdict
    made = [call for call, passed in zip(plan, allowed) if passed]
    for call in made:
        # A call that builds on one that was refused may fail; it then changes nothing.
        runtime.run_function(environment, call.function, dict(call.args))
    said = user_task.GROUND_TRUTH_OUTPUT
    output = [text_content_block_from_string(said)]
    utility = bool(suite._check_task_result(user_task, output, before, environment, made))
    if not injection_task:
        return {"utility": utility, "security": None}
    # What the agent says in the end is not the guard's to stop: the attacker is given all of it.
    output = [text_content_block_from_string(f"{said} {injection_task.GROUND_TRUTH_OUTPUT}")]
    security = bool(suite._check_task_result(injection_task, output, before, environment, made))
    return {"utility": utility, "security": security}


def judge():
    judged = {}
    for name, verdicts in json.load(sys.stdin).items():
        suite = get_suite(VERSION, name)
        vectors = {task.ID: candidates(suite, task) for task in suite.user_tasks.values()}
        judged[name] = [carry_out(suite, each, vectors[each["user"]]) for each in verdicts]
    json.dump(judged, sys.stdout)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["export", directory]:
            export(Path(directory))
        case ["judge"]:
            judge()
        case _:
            sys.exit(__doc__)

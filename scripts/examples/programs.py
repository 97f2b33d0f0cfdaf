"""The examples in Rust that embed or talk to Nexo, each started as its reader would start it.

A subject is used within `with`, and has what `test-examples` asks: `TESTS`, and `output` at the
end.
"""

import http.client
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DEADLINE_SECONDS = 60


def expect(actual, expected):
    if actual != expected:
        raise AssertionError(f"got {actual!r}, expected {expected!r}")


def expect_in(text, whole):
    if text not in whole:
        raise AssertionError(f"{text!r} is not in {whole!r}")


@cache
def built():
    """Where each program of the workspace is, built with what its tests are built with."""
    command = ["cargo", "build", "--locked", "--workspace", "--all-features", "--bins"]
    command.append("--message-format=json-render-diagnostics")
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    messages = [json.loads(line) for line in run.stdout.splitlines()]
    targets = [message for message in messages if message.get("executable")]
    return {message["target"]["name"]: message["executable"] for message in targets}


class Process:
    """A program that runs, and what it has written so far."""

    def __init__(self, name, arguments=(), **env):
        self.text, self.changed = "", threading.Condition()
        self.process = subprocess.Popen(
            [built()[name], *arguments],
            env={**clean_environment(), **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while piece := self.process.stdout.read1():
            with self.changed:
                self.text += piece.decode(errors="replace")
                self.changed.notify_all()
        with self.changed:
            self.text += "\0"  # nothing comes after it
            self.changed.notify_all()

    def wait_for(self, pattern):
        """The match, as soon as the program has written it."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        with self.changed:
            while not (found := re.search(pattern, self.text)):
                left = deadline - time.monotonic()
                if left <= 0 or self.text.endswith("\0"):
                    raise AssertionError(f"{pattern!r} never comes after {self.text!r}")
                self.changed.wait(left)
        return found

    def say(self, line):
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def end(self, how=signal.SIGTERM):
        """Ends it, and gives its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.wait()

    def wait(self):
        """Its exit code, when it has ended by itself."""
        try:
            return self.process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def clean_environment():
    """Ours, without what would have a program work with somebody's own server or database."""
    ours = ("NEXO_", "DATABASE_", "MAIL_", "WEBHOOK_", "PRODUCTION", "DATA_DIR", "PORT", "HOST")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def request(port, method, path, body=None, headers=None):
    """Status, headers and body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)
    try:
        if body is not None and not isinstance(body, (str, bytes)):
            body, headers = json.dumps(body), {"content-type": "application/json", **(headers or {})}
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def made(answer):
    """What an answer says that went well."""
    status, _, body = answer
    if status not in (200, 201):
        raise AssertionError(f"status {status}: {body}")
    return json.loads(body)


# Nexo within somebody's service.


class Service:
    """A service that embeds Nexo, and how somebody signs in there."""

    def __init__(self, name, sign_in):
        self.name, self.sign_in = name, sign_in
        self.TESTS = [
            shows_its_own_pages_behind_its_own_middleware,
            keeps_strangers_out,
            answers_whom_it_knows,
            streams_what_its_agent_says,
            keeps_those_it_knows_apart,
            ends_in_good_order_and_has_everything_afterwards,
        ]

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory()
        self.start()
        return self

    def __exit__(self, *_):
        self.process.end(signal.SIGKILL)
        self.output = self.process.text
        self.directory.cleanup()

    def start(self):
        self.process = Process(self.name, PORT="0", DATA_DIR=self.directory.name)
        self.port = int(self.process.wait_for(r"listens on port (\d+)")[1])

    def request(self, *arguments):
        return request(self.port, *arguments)

    def open_thread(self, who=0):
        """Headers of somebody, and the path of a thread of theirs."""
        headers, app = self.sign_in(self, who)
        path = f"/chat/apps/{app}/threads"
        thread = made(self.request("POST", path, {}, headers))["thread"]["id"]
        return headers, f"{path}/{thread}"


def with_a_cookie(service, who):
    """Signs in at `embed-axum`: what to send from then on, and the app's id."""
    login = [("nora", "Bakery#2026"), ("omar", "Harbour#2026")][who]
    answer = service.request("POST", "/login", dict(zip(("name", "password"), login)))
    cookie = answer[1]["set-cookie"].split(";")[0]
    return {"cookie": cookie}, made(answer)["app_id"]


def with_a_key(service, who):
    """The same at `embed-actix`, where nobody has to sign in."""
    headers = {"x-api-key": ["demo-key-of-the-bakery", "demo-key-of-the-harbour"][who]}
    return headers, made(service.request("GET", "/me", None, headers))["app_id"]


def shows_its_own_pages_behind_its_own_middleware(service):
    status, _, body = service.request("GET", "/")
    expect(status, 200)
    expect_in("The bakery.", body)
    for path in ("/", "/chat/openapi.json", "/chat/apps/", "/chat/nowhere"):
        expect(service.request("GET", path)[1]["x-content-type-options"], "nosniff")


def keeps_strangers_out(service):
    for headers in ({}, {"cookie": "session=0"}, {"x-api-key": "guessed"}):
        for path in ("/chat/apps/", "/me"):
            expect(service.request("GET", path, None, headers)[0], 401)


def answers_whom_it_knows(service):
    headers, thread = service.open_thread()
    answer = made(service.request("POST", f"{thread}/runs", {"content": "¿Qué tal? 🎉"}, headers))
    expect(answer["status"], "completed")
    reply = "One moment. You said “¿Qué tal? 🎉”, after 1 messages of ours."
    expect(answer["assistant_message"]["content"], reply)


def streams_what_its_agent_says(service):
    headers, thread = service.open_thread()
    asked = {"content": "Hi", "stream": True}
    status, answer, body = service.request("POST", f"{thread}/runs", asked, headers)
    expect((status, answer.get_content_type()), (200, "text/event-stream"))
    names = re.findall(r"^event: (\w+)$", body, re.MULTILINE)
    expect(names, ["meta", "delta", "delta", "done"])
    expect_in('{"text":"One moment. "}', body)


def keeps_those_it_knows_apart(service):
    (_, thread), (others, _) = service.open_thread(0), service.sign_in(service, 1)
    expect(service.request("GET", f"{thread}/messages", None, others)[0], 404)


def ends_in_good_order_and_has_everything_afterwards(service):
    headers, thread = service.open_thread()
    made(service.request("POST", f"{thread}/runs", {"content": "Hi"}, headers))
    expect(service.process.end(), 0)
    service.start()
    headers, _ = service.sign_in(service, 0)
    messages = made(service.request("GET", f"{thread}/messages", None, headers))
    expect([message["role"] for message in messages], ["assistant", "user", "assistant"])


# Nexo without a server.


class Run:
    """A program that runs to its end."""

    def __init__(self, name, arguments, tests):
        self.command, self.TESTS = (name, arguments), tests

    def __enter__(self):
        self.process = Process(*self.command)
        self.code = self.process.wait()
        self.process.reader.join()
        self.output = self.process.text.removesuffix("\0")
        return self

    def __exit__(self, *_):
        pass


def shows_the_answers_and_what_was_stored(run):
    expect(run.code, 0)
    answers = [f"Fresh bread, at six in the morning. (You asked {times} times.)" for times in (1, 2)]
    for line in ("> When?", answers[0], "> Sure?", answers[1]):
        expect_in(f"{line}\n", run.output)
    expect_in(f"     user 3: Sure?\nassistant 4: {answers[1]}\n", run.output)


def has_a_program_answer(run):
    expect((run.code, run.output), (0, "Two? loaves? of? rye? bread? \n"))


# A client of a server.


class Agent(ThreadingHTTPServer):
    """An agent that stops in the middle of its first answer, as long as nobody goes on."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), AgentCall)
        self.calls, self.goes_on = 0, threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class AgentCall(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.server.calls += 1
        is_first = self.server.calls == 1
        self.say("delta", {"text": f"Loaf {self.server.calls} "})
        if is_first:
            self.server.goes_on.wait(DEADLINE_SECONDS)
            return
        self.say("delta", {"text": "is vegan."})
        self.say("done", {})

    def say(self, name, data):
        self.wfile.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())

    def log_message(self, *_):
        pass


class Conversation:
    """A server with an app, and somebody who is known there."""

    EMAIL, PASSWORD = "nora@example.com", "Bakery#2026"

    def __init__(self):
        self.TESTS = [
            shows_how_to_sign_in,
            follows_an_answer_over_a_server_that_is_killed,
            continues_a_conversation,
        ]

    def __enter__(self):
        self.directory, self.agent = tempfile.TemporaryDirectory(), Agent()
        self.start(0)
        login = {"email": self.EMAIL, "password": self.PASSWORD}
        made(request(self.port, "POST", "/auth/register", login))
        form = "username=nora%40example.com&password=Bakery%232026"
        headers = {"content-type": "application/x-www-form-urlencoded"}
        token = made(request(self.port, "POST", "/auth/jwt/login", form, headers))["access_token"]
        self.headers = {"authorization": f"Bearer {token}"}
        app = {
            "name": "Bakery desk",
            "webhook_url": f"http://127.0.0.1:{self.agent.server_port}/",
            "config_json": {"integration": {"mode": "webhook"}, "webhook": {"timeout_ms": 60_000}},
        }
        self.app = made(request(self.port, "POST", "/apps/", app, self.headers))["id"]
        return self

    def __exit__(self, *_):
        self.agent.goes_on.set()
        self.server.end(signal.SIGKILL)
        self.agent.shutdown()
        self.output = self.server.text
        self.directory.cleanup()

    def start(self, port):
        env = {"PORT": str(port), "HOST": "127.0.0.1", "DATA_DIR": self.directory.name}
        self.server = Process("nexo-dashboard", **env)
        self.port = int(self.server.wait_for(r"listening on \S+:(\d+)")[1])

    def client(self, *arguments, password=PASSWORD):
        env = {"NEXO_SERVER": f"http://127.0.0.1:{self.port}", "NEXO_EMAIL": self.EMAIL}
        return Process("chat-cli", arguments, NEXO_PASSWORD=password, **env)


def shows_how_to_sign_in(conversation):
    client = conversation.client(password="guessed")
    client.wait_for("LOGIN_BAD_CREDENTIALS")
    expect(client.wait(), 1)


def follows_an_answer_over_a_server_that_is_killed(conversation):
    client = conversation.client()
    conversation.thread = client.wait_for(r"--thread (\S+)\)")[1]
    client.say("Is the rye bread vegan?")
    client.wait_for("Loaf 1 ")
    conversation.server.end(signal.SIGKILL)
    client.wait_for("the server is away")
    conversation.agent.goes_on.set()
    conversation.start(conversation.port)
    client.wait_for(r"\(once more\)\nLoaf 2 is vegan\.\n> ")
    client.process.stdin.close()
    expect(client.wait(), 0)
    messages = f"/apps/{conversation.app}/threads/{conversation.thread}/messages"
    messages = made(request(conversation.port, "GET", messages, None, conversation.headers))
    said = [message["content"] for message in messages[1:]]
    expect(said, ["Is the rye bread vegan?", "Loaf 2 is vegan."])


def continues_a_conversation(conversation):
    client = conversation.client("--app", conversation.app, "--thread", conversation.thread)
    client.wait_for(r"> Is the rye bread vegan\?\nLoaf 2 is vegan\.\n> ")
    client.say("And the wheat bread?")
    client.wait_for(r"Loaf 3 is vegan\.\n> ")
    client.process.stdin.close()
    expect(client.wait(), 0)


SHELL = ["sh", "-c", 'for word in $(cat); do printf "%s? " "$word"; done']
PROGRAMS = {
    "embed-axum": lambda: Service("embed-axum", with_a_cookie),
    "embed-actix": lambda: Service("embed-actix", with_a_key),
    "in-process-agent": lambda: Run(
        "in-process-agent", ["When?", "Sure?"], [shows_the_answers_and_what_was_stored]
    ),
    "custom-dispatcher": lambda: Run("custom-dispatcher", SHELL, [has_a_program_answer]),
    "chat-cli": Conversation,
}

"""Alerts: a webhook and mailboxes are told which tables a failed run did not publish, and why.

An alert is sent once. Dagster moves a run failure sensor past a run whatever becomes of its alert, so a receiver that
cannot be reached now is not tried again later: the tick says which alert was lost, and why. It never fails for that.
No text that leaves this module contains the webhook's URL or the password.
"""

from __future__ import annotations

import http.client
import json
import re
import smtplib
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import IO, Any

import dagster as dg

from wemart_assets.lake.errors import MachineFault, MissingPartition, PublishConflict, UnreadableTable
from wemart_assets.settings import AlertSettings, Encryption
from wemart_assets.text import visible

NAME = "run_failure_alerts"
# Dagster passes a tick at most five failed runs, and ends the tick after 60 seconds.
SECONDS_PER_ALERT = 10.0
SECONDS_PER_ANSWER = 5.0
SECONDS_BEFORE_RETRY = 1.0

# Slack splits a longer text into several messages.
WEBHOOK_CHARACTERS = 3_900
MAIL_CHARACTERS = 20_000
TABLES = 10
CHECKS = 3
CUT = "(The rest is left out here; see the run.)"

# Every server takes 7-bit text with lines of less than 998 characters; folded, some readers show a title in pieces.
MAIL = policy.SMTP.clone(cte_type="7bit", max_line_length=900)

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
PARTITION = "dagster/partition"
# Errors that name tables, days and files, but no value; those of landing files quote the record, an engine's the value.
QUOTE_NO_VALUES = {kind.__name__ for kind in (MissingPartition, PublishConflict, UnreadableTable, MachineFault)}
# Words such as `no_service` and `channel_is_archived`. Anything else in an answer might repeat the URL.
SLACK_ERROR = re.compile(r"[a-z]+(_[a-z]+)+")


@dataclass(frozen=True)
class FailedCheck:
    """A failed check of severity ERROR: what it requires, what it found, and its first bad rows as text."""

    name: str
    description: str
    summary: str
    rows: Sequence[str]


@dataclass(frozen=True)
class FailedTable:
    """A table that a run did not publish: the checks that its rows failed, or else the first line of the error."""

    name: str
    checks: Sequence[FailedCheck]
    error: str


@dataclass(frozen=True)
class Alert:
    """What is told about a failed run.

    Attributes:
        days: the first and last partition of the run; None without partitions.
        error: why the run failed, if no table did.
    """

    run: str
    job: str
    days: tuple[str, str] | None
    tables: Sequence[FailedTable]
    error: str

    @property
    def title(self) -> str:
        """The tables and days in a line."""
        days = "" if self.days is None else f", {' to '.join(dict.fromkeys(self.days))}"
        if not self.tables:
            return f"Run failed: {self.job}{days}"
        names = ", ".join(table.name for table in self.tables[:TABLES])
        more = f" and {len(self.tables) - TABLES} more" if len(self.tables) > TABLES else ""
        return f"Not published: {names}{more}{days}"


class Undelivered(Exception):
    """A receiver did not take an alert; `may_pass` if it might take it a moment later."""

    def __init__(self, reason: str, may_pass: bool = False) -> None:
        super().__init__(reason)
        self.may_pass = may_pass


def alert_sensor(settings: AlertSettings, checks: Mapping[dg.AssetCheckKey, str]) -> dg.SensorDefinition:
    """The sensor that sends an alert for each failed run, on from the start. `checks` has their descriptions."""

    @dg.run_failure_sensor(
        name=NAME,
        description="Tells the webhook and the mailboxes of `WEMART_ALERTS__*` about each failed run.",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def sensor(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
        alert = describe(context, checks, settings.rows)
        lost = [
            f"alert about run {alert.run} not delivered {receiver}: {reason}. It is not sent again."
            for receiver, reason in send(alert, settings).items()
        ]
        for warning in lost:
            context.log.warning(warning)
        # A reason to skip is shown in the list of ticks, and leaves further runs to the next tick: several of them
        # waiting for a receiver that does not answer could outlast a tick.
        return dg.SkipReason(" ".join(lost)) if lost else None

    return sensor


def describe(context: dg.RunFailureSensorContext, checks: Mapping[dg.AssetCheckKey, str], rows: int) -> Alert:
    """What to tell about a failed run, from its events; with at most `rows` bad rows for each check."""
    run = context.dagster_run
    failed: dict[str, dict[str, FailedCheck]] = {}
    events = context.instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    for record in events.records:
        event = record.event_log_entry.get_dagster_event()
        found = event.asset_check_evaluation_data
        if not found.passed and found.severity is dg.AssetCheckSeverity.ERROR:
            # By name: a step that is retried evaluates its checks again.
            by_name = failed.setdefault(str(event.step_key), {})
            by_name[found.check_name] = _failed_check(found, checks.get(found.asset_check_key, ""), rows)
    errors = {
        str(event.step_key): _error_of_step(event, quotes_rows=rows > 0) for event in context.get_step_failure_events()
    }
    tables = [
        FailedTable(step.replace("__", ".", 1), list(failed.get(step, {}).values()), error)
        for step, error in errors.items()
    ]
    first, last = run.tags.get(RANGE_START), run.tags.get(RANGE_END)
    day = run.tags.get(PARTITION)
    days = (first, last) if first and last else (day, day) if day else None
    return Alert(run.run_id, run.job_name, days, tables, _first_line(str(context.failure_event.message)))


def _failed_check(found: dg.AssetCheckEvaluation, description: str, rows: int) -> FailedCheck:
    examples = found.metadata.get("examples")
    listed: Any = examples.value if isinstance(examples, dg.JsonMetadataValue) else []
    return FailedCheck(
        found.check_name,
        description.removeprefix(f"[{found.severity.value}] "),
        _shortened(found.description or "", 300),
        [_shortened(", ".join(f"{k}={_shortened(str(v), 60)}" for k, v in row.items()), 400) for row in listed[:rows]],
    )


def _error_of_step(event: dg.DagsterEvent, quotes_rows: bool) -> str:
    """The first line of a step's error; without `quotes_rows`, only its kind if the text might quote a value."""
    data = event.step_failure_data
    if data.error is None:
        return _first_line(str(event.message))
    # Dagster's own exception is caused by the table's.
    error = data.error.cause or data.error
    if not quotes_rows and error.cls_name not in QUOTE_NO_VALUES:
        return f"{error.cls_name}; see the run"
    if data.user_failure_data is not None:
        return _first_line(data.user_failure_data.description or "")
    return _first_line(error.message)


def _first_line(text: str) -> str:
    return _shortened(text.strip().partition("\n")[0], 500)


def _shortened(text: str, most: int) -> str:
    text = visible(text.encode(errors="replace").decode())
    return text if len(text) <= most else text[: most - 1] + "…"


def render(alert: Alert, ui: str | None, most: int, escape: Callable[[str], str] = str) -> str:
    """The alert as text of at most `most` characters, each line after `escape`."""
    tail = ["", *_what_to_do(alert), f"Run: {f'{ui}/runs/' if ui else ''}{alert.run} ({alert.job})"]
    first, *last = escape(alert.title), *map(escape, tail)
    room = most - sum(len(line) + 1 for line in (first, *last, escape(CUT)))
    shown = []
    for line in map(escape, _what_failed(alert)):
        room -= len(line) + 1
        if room < 0:
            shown.append(escape(CUT))
            break
        shown.append(line)
    return "\n".join([first, *shown, *last])


def _what_failed(alert: Alert) -> list[str]:
    if not alert.tables:
        return ["", alert.error]
    lines = []
    for table in alert.tables:
        lines += ["", table.name if table.checks else f"{table.name}: {table.error.removeprefix(f'{table.name}: ')}"]
        for check in table.checks[:CHECKS]:
            lines.append(f"  {check.name} ({check.description}): {check.summary}")
            lines += [f"    {row}" for row in check.rows]
        if len(table.checks) > CHECKS:
            lines.append(f"  and {len(table.checks) - CHECKS} more failed checks")
    return lines


def _what_to_do(alert: Alert) -> list[str]:
    if not alert.tables:
        return ["Readers keep what they had. The run's events say more."]
    days = "" if alert.days is None else f" --from {alert.days[0]} --to {alert.days[1]}"
    tables = " ".join(table.name.replace(".", "/") for table in alert.tables[:TABLES])
    rejected = any(table.checks for table in alert.tables)
    cause = "Correct the input (or the check)" if rejected else "Remove the cause"
    return [
        f"Readers keep what they had, and nothing downstream ran. {cause}, then re-execute the run from failure in the "
        "UI, or run the tables alone:",
        f"wemart run{days} {tables}",
    ]


def send(alert: Alert, settings: AlertSettings) -> dict[str, str]:
    """Sends the alert to all receivers side by side; returns by receiver why it did not get it."""
    deliveries: dict[str, Callable[[], None]] = {}
    if settings.webhook is not None:
        url, text = settings.webhook.get_secret_value(), render(alert, settings.ui, WEBHOOK_CHARACTERS, _for_slack)
        deliveries["to the webhook"] = lambda: _post(url, text)
    if settings.smtp_host is not None:
        host, mail = settings.smtp_host, _mail(alert, settings)
        deliveries["by e-mail"] = lambda: _send_mail(host, mail, settings)
    if not deliveries:
        return {}
    # Threads, because no timeout of a socket limits the look-up of a name, or an answer that comes byte by byte.
    executor = ThreadPoolExecutor(len(deliveries))
    running = {receiver: executor.submit(_with_retry, delivery) for receiver, delivery in deliveries.items()}
    done, _ = wait(running.values(), SECONDS_PER_ALERT)
    executor.shutdown(wait=False)
    reasons = {
        receiver: future.result()
        if future in done
        else f"no answer within {SECONDS_PER_ALERT:.0f} s; it may arrive yet"
        for receiver, future in running.items()
    }
    return {receiver: reason for receiver, reason in reasons.items() if reason}


def _with_retry(deliver: Callable[[], None]) -> str:
    """Why the delivery failed, for good or twice; empty if it did not."""
    try:
        try:
            deliver()
        except Undelivered as error:
            if not error.may_pass:
                raise
            time.sleep(SECONDS_BEFORE_RETRY)
            deliver()
    except Undelivered as error:
        return str(error)
    return ""


def _for_slack(text: str) -> str:
    """Escapes Slack's control characters: otherwise a value such as `<!channel>` would notify everyone."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Redirects are errors: following one turns a POST into a GET, which succeeds and delivers nothing."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> None:
        return None


def _post(url: str, text: str) -> None:
    # No markup, which values could contain, and no previews: Slack would fetch the URLs in values.
    payload = {"text": text, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False}
    request = urllib.request.Request(
        url, json.dumps(payload).encode(), {"Content-Type": "application/json; charset=utf-8"}, method="POST"
    )
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=SECONDS_PER_ANSWER):
            pass
    except urllib.error.HTTPError as error:
        word = _slack_error(error)
        hint = ": set the URL that it redirects to" if 300 <= error.code < 400 else ""
        raise Undelivered(f"it answered {error.code}{word}{hint}", error.code == 429 or error.code >= 500) from None
    except urllib.error.URLError as error:
        raise _unreachable(error.reason) from None
    except http.client.HTTPException as error:
        # Its text may contain the URL or whatever came instead of an answer.
        raise Undelivered(f"it does not answer as a web server does ({type(error).__name__})") from None
    except (OSError, UnicodeError) as error:
        raise _unreachable(error) from None


def _slack_error(answer: urllib.error.HTTPError) -> str:
    try:
        with answer:
            said = answer.read(200).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException):
        # The status is known, which is enough.
        return ""
    return f" ({said})" if SLACK_ERROR.fullmatch(said) else ""


def _mail(alert: Alert, settings: AlertSettings) -> EmailMessage:
    mail = EmailMessage(MAIL)
    mail["Subject"] = _shortened(alert.title, 200)
    mail["From"] = settings.mail_from
    mail["To"] = ", ".join(settings.recipients)
    mail["Date"] = formatdate()
    mail["Message-ID"] = make_msgid("wemart", str(settings.mail_from).rpartition("@")[2])
    # So that nobody's out-of-office reply answers.
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(render(alert, settings.ui, MAIL_CHARACTERS))
    return mail


def _send_mail(host: str, mail: EmailMessage, settings: AlertSettings) -> None:
    try:
        with _connect(host, settings) as server:
            if settings.smtp_user is not None and settings.smtp_password is not None:
                server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
            refused = server.send_message(mail)
    except smtplib.SMTPAuthenticationError as error:
        # Its text may repeat what was sent.
        raise Undelivered(f"the mail server refuses the user or the password ({error.smtp_code})") from None
    except smtplib.SMTPRecipientsRefused as error:
        raise Undelivered(_refused(error.recipients)) from None
    except smtplib.SMTPResponseException as error:
        raise Undelivered(
            f"the mail server answered {_answer(error.smtp_code, error.smtp_error)}", error.smtp_code < 500
        ) from None
    except smtplib.SMTPException as error:
        raise Undelivered(f"the mail server cannot be used: {str(error).rstrip('.')}") from None
    except (OSError, UnicodeError) as error:
        raise _unreachable(error) from None
    if refused:
        raise Undelivered(f"{_refused(refused)}; the other recipients got it")


def _connect(host: str, settings: AlertSettings) -> smtplib.SMTP:
    port, context = settings.smtp_port or 0, ssl.create_default_context()
    if settings.smtp_encryption is Encryption.TLS:
        return smtplib.SMTP_SSL(host, port, timeout=SECONDS_PER_ANSWER, context=context)
    if settings.smtp_encryption is Encryption.NONE:
        return smtplib.SMTP(host, port, timeout=SECONDS_PER_ANSWER)
    server = smtplib.SMTP(host, port or 587, timeout=SECONDS_PER_ANSWER)
    try:
        server.starttls(context=context)
    except BaseException:
        server.close()
        raise
    return server


def _refused(recipients: Mapping[str, tuple[int, bytes]]) -> str:
    return "the mail server refuses " + "; ".join(f"{to} ({_answer(*why)})" for to, why in recipients.items())


def _answer(code: int, text: bytes | str) -> str:
    return f"{code} {_shortened(text.decode(errors='replace') if isinstance(text, bytes) else text, 200)}"


def _unreachable(error: object) -> Undelivered:
    """The error of a connection; one without an answer in time is not repeated, because it may have arrived."""
    if isinstance(error, TimeoutError):
        return Undelivered(f"no answer within {SECONDS_PER_ANSWER:.0f} s")
    if isinstance(error, UnicodeError):
        # The look-up refuses it before any server is asked: an empty label, or one that is too long.
        return Undelivered("the host in its address is not a valid name")
    reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    return Undelivered(f"the connection failed: {reason}", isinstance(error, ConnectionError))

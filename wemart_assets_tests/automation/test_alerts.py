"""Alerts: what a webhook and mailboxes are told about failed runs, and what happens if they cannot be told."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from wemart_assets.automation import alerts
from wemart_assets.automation.alerts import Alert, FailedCheck, FailedTable, alert_sensor, render
from wemart_assets.settings import AlertSettings, SettingsError, load_settings
from wemart_assets_tests.automation.receivers import (
    MailServer,
    Webhook,
    certificate,
    mail_server,
    webhook_server,
)
from wemart_assets_tests.environments import LOG, Environment, MakeEnvironment

ARTISTS = "we_mart.we_artist"
PASSWORD = "hunter2-hunter2"


@pytest.fixture(autouse=True)
def direct_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(alerts, "SECONDS_BEFORE_RETRY", 0)


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with webhook_server() as server:
        yield server


@pytest.fixture
def mails() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture
def runs() -> Iterator[dg.DagsterInstance]:
    """An instance without runs."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@dataclass(frozen=True)
class Tick:
    """One tick of the sensor: where the next one starts, why it was skipped, and its warnings."""

    cursor: str | None
    skipped: str | None
    warnings: list[str]
    handled: list[str]


def tick(defs: dg.Definitions, runs: dg.DagsterInstance, cursor: str | None = None) -> Tick:
    """Evaluates the sensor as the daemon does."""
    sensor = next(s for s in defs.sensors or () if s.name == alerts.NAME)
    assert isinstance(sensor, dg.SensorDefinition)
    warnings: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: warnings.append(record.getMessage())  # type: ignore[method-assign]
    context = dg.build_sensor_context(instance=runs, cursor=cursor, definitions=defs)
    context.log.addHandler(handler)
    done = sensor.evaluate_tick(context)
    reactions = done.dagster_run_reactions or ()
    assert [reaction.error for reaction in reactions if reaction.error] == []
    handled = [reaction.dagster_run.run_id for reaction in reactions if reaction.dagster_run is not None]
    return Tick(done.cursor, done.skip_message, warnings, handled)


def by_mail(mails: MailServer, **other: Any) -> dict[str, Any]:
    """Settings for alerts by e-mail, without encryption unless it is set."""
    return {
        "smtp_host": "127.0.0.1",
        "smtp_port": mails.port,
        "smtp_encryption": "none",
        "mail_from": "wemart@example.com",
        "mail_to": "oncall@example.com, data@example.com",
        **other,
    }


@dataclass(frozen=True)
class Rejected:
    """An environment in which a run has failed, and the sensor's cursor from before the run."""

    environment: Environment
    runs: dg.DagsterInstance
    cursor: str | None

    def tick(self, **settings: Any) -> Tick:
        """Ticks the sensor of the whole graph, with these settings of alerts."""
        environment = self.environment
        environment.overrides["alerts"] = settings
        return tick(environment.defs, self.runs, self.cursor)


@pytest.fixture(scope="module")
def rejected(make_environment: MakeEnvironment) -> Iterator[Rejected]:
    """A run in which the audits of two sources rejected their rows."""
    with dg.DagsterInstance.ephemeral() as runs:
        environment = make_environment()
        environment.instance = runs
        environment.land(LOG, "a.jsonl", [environment.line(), environment.line(unix_log_timestamp="<!channel> & co")])
        bad = [environment.artist(f"bad{n}") for n in range(4)]
        environment.land(ARTISTS, "date=2024-03-02/a.jsonl", [environment.artist(1), *bad])
        cursor = tick(only(webhook="http://127.0.0.1:1/"), runs).cursor
        assert set(environment.run("2024-03-02", tables=[LOG, ARTISTS]).failed) == {LOG, ARTISTS}
        yield Rejected(environment, runs, cursor)


def only(**settings: Any) -> dg.Definitions:
    """Nothing but the sensor, with these settings of alerts."""
    return dg.Definitions(sensors=[alert_sensor(AlertSettings.model_validate(settings), {})])


def crash(runs: dg.DagsterInstance) -> None:
    """A run whose only table fails with an error that quotes a value."""

    @dg.asset(key_prefix="we_mart")
    def broken() -> None:
        raise ValueError("cannot convert 'fan@example.com'\nof row 7")

    job = dg.Definitions(assets=[broken], jobs=[dg.define_asset_job("nightly")]).resolve_job_def("nightly")
    config = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    assert not job.execute_in_process(instance=runs, raise_on_error=False, run_config=config).success


def test_alerts_are_off_by_default(environment: Environment) -> None:
    assert alerts.NAME not in {sensor.name for sensor in environment.defs.sensors or ()}


def test_a_webhook_or_a_mail_server_turns_them_on(make_environment: MakeEnvironment, mails: MailServer) -> None:
    for settings in ({"webhook": "https://hooks.example.com/x"}, by_mail(mails)):
        [sensor] = [s for s in make_environment(alerts=settings).defs.sensors or () if s.name == alerts.NAME]
        assert isinstance(sensor, dg.SensorDefinition)
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING


def test_one_message_has_tables_days_rules_and_the_first_bad_rows(rejected: Rejected, webhook: Webhook) -> None:
    done = rejected.tick(webhook=webhook.url, rows=2, ui="https://dagster.example.com/")
    assert (done.warnings, done.skipped) == ([], None)
    [run] = done.handled
    [text] = webhook.texts
    rule = (
        "  quarantine_share (the share of a day's rows that are quarantined does not exceed WEMART_QUARANTINE_SHARE): "
    )
    assert text.split("\n") == [
        f"Not published: {LOG}, {ARTISTS}, 2024-03-02",
        "",
        LOG,
        f"{rule}1 row breaks it, by day: 2024-03-02 (1)",
        "    date_id=2024-03-02, in_file=a.jsonl, kept=1, quarantined=1, "
        "reason=unix_log_timestamp: '&lt;!channel&gt; &amp; co' is not a bigint",
        "",
        ARTISTS,
        f"{rule}4 rows break it, by day: 2024-03-02 (4)",
        *(
            f"    in_file=date=2024-03-02/a.jsonl, kept=1, part_date=2024-03-02, quarantined=4, "
            f"reason=we_art_id: 'bad{n}' is not an int"
            for n in range(2)
        ),
        "",
        "Readers keep what they had, and nothing downstream ran. Correct the input (or the check), then re-execute the "
        "run from failure in the UI, or run the tables alone:",
        "wemart run --from 2024-03-02 --to 2024-03-02 service_log/weverse_server_log we_mart/we_artist",
        f"Run: https://dagster.example.com/runs/{run} (__ASSET_JOB)",
    ]
    assert webhook.received[0]["mrkdwn"] is False, "values may contain markup"


def test_the_same_goes_by_e_mail_to_every_recipient(rejected: Rejected, mails: MailServer) -> None:
    mails.login = ("wemart", PASSWORD)
    done = rejected.tick(**by_mail(mails, smtp_user="wemart", smtp_password=PASSWORD))
    assert (done.warnings, done.skipped) == ([], None)
    [mail] = mails.received
    assert mail["Subject"] == f"Not published: {LOG}, {ARTISTS}, 2024-03-02"
    assert (mail["From"], mail["To"]) == ("wemart@example.com", "oncall@example.com, data@example.com")
    recipients = [line for line in mails.heard if line.startswith("rcpt")]
    assert recipients == ["rcpt TO:<oncall@example.com>", "rcpt TO:<data@example.com>"]
    text = mail.get_content()
    assert "reason=unix_log_timestamp: '<!channel> & co' is not a bigint" in text
    assert f"Run: {done.handled[0]} (__ASSET_JOB)" in text


def test_bad_rows_can_be_left_out(rejected: Rejected, webhook: Webhook, mails: MailServer) -> None:
    assert rejected.tick(webhook=webhook.url, rows=0, **by_mail(mails)).warnings == []
    for text in (*webhook.texts, mails.received[0].get_content()):
        assert "4 rows break it" in text
        assert "bad0" not in text
        assert "channel" not in text


def test_a_run_is_told_once(rejected: Rejected, webhook: Webhook) -> None:
    first = tick(only(webhook=webhook.url), rejected.runs, rejected.cursor)
    second = tick(only(webhook=webhook.url), rejected.runs, first.cursor)
    assert (len(first.handled), len(second.handled), len(webhook.received)) == (1, 0, 1)


@pytest.mark.parametrize(
    ("rows", "error"), [(1, "ValueError: cannot convert 'fan@example.com'"), (0, "ValueError; see the run")]
)
def test_an_unexpected_error_is_told_by_its_first_line_or_without_rows_by_its_kind(
    runs: dg.DagsterInstance, webhook: Webhook, rows: int, error: str
) -> None:
    defs = only(webhook=webhook.url, rows=rows)
    start = tick(defs, runs).cursor
    crash(runs)
    assert tick(defs, runs, start).warnings == []
    [text] = webhook.texts
    assert text.startswith(f"Not published: we_mart.broken\n\nwe_mart.broken: {error}\n\n")
    assert "Remove the cause" in text
    assert "\nwemart run we_mart/broken\n" in text
    assert "row 7" not in text


@pytest.mark.parametrize("rows", [1, 0])
def test_an_error_that_quotes_no_value_is_sent_without_rows_too(
    make_environment: MakeEnvironment, runs: dg.DagsterInstance, webhook: Webhook, rows: int
) -> None:
    environment = make_environment()
    environment.instance = runs
    environment.land(ARTISTS, "date=2024-03-02/a.jsonl", '{"we_art_id": 1}\n{"we_art_id": "fan@exam')
    defs = only(webhook=webhook.url, rows=rows)
    start = tick(defs, runs).cursor
    tables = [ARTISTS, "we_mart.wv_comm_user_base"]
    assert set(environment.run("2025-03-05", tables=tables).failed) == set(tables)
    assert tick(defs, runs, start).warnings == []
    [text] = webhook.texts
    assert "\nwe_mart.wv_comm_user_base: 2025-03-05 " in text
    assert ("fan@exam" in text) == (rows > 0)
    assert ("LandingError; see the run" in text) == (rows == 0)


def test_a_run_that_fails_before_any_table_is_told_with_its_error(runs: dg.DagsterInstance, webhook: Webhook) -> None:
    defs = only(webhook=webhook.url)
    start = tick(defs, runs).cursor
    run = create_run_for_test(runs, "nightly", tags={"dagster/partition": "2024-03-02"})
    runs.report_run_failed(run, "the machine went away")
    tick(defs, runs, start)
    assert webhook.texts[0].split("\n")[:3] == ["Run failed: nightly, 2024-03-02", "", "the machine went away"]


def test_a_long_alert_stays_within_slacks_limit_and_keeps_what_to_do() -> None:
    checks = [FailedCheck(f"check_{n}", "a <rule>", "1 row breaks it", ["<" * 400] * 5) for n in range(9)]
    tables = [FailedTable(f"we_mart.table_{n}", checks, "") for n in range(72)]
    alert = Alert("run-id", "nightly", ("2024-01-01", "2024-12-31"), tables, "")
    text = render(alert, None, alerts.WEBHOOK_CHARACTERS, alerts._for_slack)
    assert len(text) <= 4_000
    assert " and 62 more, 2024-01-01 to 2024-12-31\n" in text
    assert f"{alerts.CUT}\n\nReaders keep" in text
    assert text.endswith("\nRun: run-id (nightly)")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((404, "no_service"), "it answered 404 (no_service)"),
        ((403, "T0KEN-0123456789"), "it answered 403"),
        ((302, ""), "it answered 302: set the URL that it redirects to"),
    ],
)
def test_a_webhook_that_refuses_is_a_warning_without_its_url(
    runs: dg.DagsterInstance, webhook: Webhook, answer: tuple[int, str], reason: str
) -> None:
    webhook.answers = [answer]
    done = failing_tick(runs, webhook=webhook.url)
    assert len(webhook.received) == 1
    assert warned(done, runs, "to the webhook", reason)
    assert webhook.token not in str(done)


def test_a_webhook_that_is_busy_is_asked_once_more(runs: dg.DagsterInstance, webhook: Webhook) -> None:
    webhook.answers = [(503, "")]
    assert failing_tick(runs, webhook=webhook.url).warnings == []
    assert len(webhook.received) == 2


def test_the_mail_arrives_although_the_webhook_is_down(runs: dg.DagsterInstance, mails: MailServer) -> None:
    with webhook_server() as webhook:
        pass
    done = failing_tick(runs, webhook=webhook.url, **by_mail(mails))
    assert warned(done, runs, "to the webhook", "the connection failed: Connection refused")
    assert webhook.token not in str(done)
    assert len(mails.received) == 1


def test_a_host_that_cannot_exist_is_a_warning(runs: dg.DagsterInstance, mails: MailServer) -> None:
    settings = by_mail(mails, smtp_host="mail..example.com")
    done = failing_tick(runs, webhook="https://hooks..example.com/T0KEN", **settings)
    reason = "the host in its address is not a valid name. It is not sent again."
    assert [warning.partition(": ")[2] for warning in done.warnings] == [reason, reason]


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ("SECONDS_PER_ANSWER", "no answer within 0 s"),
        ("SECONDS_PER_ALERT", "no answer within 0 s; it may arrive yet"),
    ],
)
def test_a_receiver_that_does_not_answer_ends_the_tick_with_a_warning(
    runs: dg.DagsterInstance, webhook: Webhook, monkeypatch: pytest.MonkeyPatch, limit: str, reason: str
) -> None:
    monkeypatch.setattr(alerts, limit, 0.01)
    webhook.open_gate.clear()
    assert warned(failing_tick(runs, webhook=webhook.url), runs, "to the webhook", reason)


def test_a_wrong_password_is_a_warning_without_it(runs: dg.DagsterInstance, mails: MailServer) -> None:
    mails.login = ("wemart", "another")
    done = failing_tick(runs, **by_mail(mails, smtp_user="wemart", smtp_password=PASSWORD))
    assert warned(done, runs, "by e-mail", "the mail server refuses the user or the password (535)")
    assert PASSWORD not in str(done)
    assert mails.received == []


def test_a_refused_recipient_is_named_and_the_others_get_the_mail(runs: dg.DagsterInstance, mails: MailServer) -> None:
    mails.refuses = {"data@example.com"}
    done = failing_tick(runs, **by_mail(mails))
    reason = "the mail server refuses data@example.com (550 5.1.1 no such user); the other recipients got it"
    assert warned(done, runs, "by e-mail", reason)
    assert len(mails.received) == 1


def test_mail_and_password_are_sent_encrypted(
    runs: dg.DagsterInstance, mails: MailServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mails.certificate, mails.login = certificate(tmp_path), ("wemart", PASSWORD)
    monkeypatch.setenv("SSL_CERT_FILE", str(mails.certificate))
    settings = by_mail(mails, smtp_encryption="starttls", smtp_user="wemart", smtp_password=PASSWORD)
    assert failing_tick(runs, **settings).warnings == []
    assert mails.encrypted == [True]
    assert {line.split()[0].upper() for line in mails.heard} == {"EHLO", "STARTTLS"}


@pytest.mark.parametrize(
    ("has_certificate", "reason"),
    [
        (False, "the mail server cannot be used: STARTTLS extension not supported by server"),
        (True, "the connection failed: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"),
    ],
)
def test_nothing_is_sent_if_the_mail_server_cannot_be_trusted(
    runs: dg.DagsterInstance, mails: MailServer, tmp_path: Path, has_certificate: bool, reason: str
) -> None:
    mails.certificate = certificate(tmp_path) if has_certificate else None
    done = failing_tick(runs, **by_mail(mails, smtp_encryption="starttls"))
    assert warned(done, runs, "by e-mail", reason)
    assert (mails.received, [line for line in mails.heard if line.startswith("mail")]) == ([], [])


def failing_tick(runs: dg.DagsterInstance, **settings: Any) -> Tick:
    """The tick after a run has failed."""
    defs = only(**settings)
    start = tick(defs, runs).cursor
    crash(runs)
    return tick(defs, runs, start)


def warned(done: Tick, runs: dg.DagsterInstance, receiver: str, reason: str) -> bool:
    """Whether the tick says why the alert was lost, in its log and in the list of ticks, and the next has nothing."""
    [record] = runs.get_run_records()
    [warning] = done.warnings
    following = tick(only(webhook="http://127.0.0.1:1/"), runs, done.cursor)
    return (
        warning.startswith(f"alert about run {record.dagster_run.run_id} not delivered {receiver}: {reason}")
        and done.skipped == warning
        and (following.handled, following.warnings) == ([], [])
    )


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEMART_ALERTS__WEBHOOK", "https://hooks.slack.com/services/T0/B0/XyZ")
    monkeypatch.setenv("WEMART_ALERTS__SMTP_PASSWORD", PASSWORD)
    monkeypatch.setenv("WEMART_ALERTS__SMTP_USER", "wemart")
    monkeypatch.setenv("WEMART_ALERTS__SMTP_HOST", "mail.example.com")
    monkeypatch.setenv("WEMART_ALERTS__MAIL_FROM", "wemart@example.com")
    monkeypatch.setenv("WEMART_ALERTS__MAIL_TO", "oncall@example.com")
    settings = load_settings()
    assert settings.alerts.are_on
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert "XyZ" not in shown
        assert PASSWORD not in shown


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WEBHOOK": "hooks.slack.com/services/s3cret"}, "WEMART_ALERTS__WEBHOOK: must be an http:// or https:// URL"),
        ({"WEBHOOK": "https://user:s3cret@example.com/"}, "WEMART_ALERTS__WEBHOOK: must be"),
        ({"WEBHOOK": "https://example.com:s3cret/"}, "WEMART_ALERTS__WEBHOOK: must be"),
        ({"WEBHOOK": "https://example.com/s3cret token"}, "WEMART_ALERTS__WEBHOOK: must be"),
        ({"WEBHOK": "https://example.com/s3cret"}, "WEMART_ALERTS__WEBHOK: Extra inputs are not permitted"),
        ({"UI": "dagster.example.com"}, "WEMART_ALERTS__UI: must be"),
        ({"ROWS": "many"}, "WEMART_ALERTS__ROWS: "),
        ({"SMTP_ENCRYPTION": "ssl"}, "WEMART_ALERTS__SMTP_ENCRYPTION: .*'starttls', 'tls' or 'none'"),
        ({"SMTP_HOST": "mail"}, "alerts by e-mail also need WEMART_ALERTS__MAIL_FROM and WEMART_ALERTS__MAIL_TO"),
        ({"MAIL_TO": "oncall"}, "WEMART_ALERTS__MAIL_TO: 'oncall' is not an e-mail address"),
        ({"MAIL_FROM": "a@x.org, b@x.org"}, "WEMART_ALERTS__MAIL_FROM: give one sender"),
        ({"SMTP_PASSWORD": "s3cret-\u00fc"}, "WEMART_ALERTS__SMTP_PASSWORD: must be ASCII"),
        ({"SMTP_PASSWORD": "s3cret"}, "the login to the mail server also needs WEMART_ALERTS__SMTP_USER"),
        ({"SMTP_USER": "a", "SMTP_PASSWORD": "s3cret"}, "without WEMART_ALERTS__SMTP_HOST"),
    ],
)
def test_an_invalid_setting_is_named_without_its_secret(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"WEMART_ALERTS__{name}", value)
    with pytest.raises(SettingsError, match=message) as error:
        load_settings()
    assert "s3cret" not in str(error.value)


def test_a_variable_set_to_nothing_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WEBHOOK", "SMTP_HOST", "SMTP_PORT", "MAIL_TO", "ROWS"):
        monkeypatch.setenv(f"WEMART_ALERTS__{name}", "")
    assert load_settings().alerts == AlertSettings.model_validate({})

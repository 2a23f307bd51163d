"""gateway.toml and the environment → Settings, or every fault at once."""

import base64
import dataclasses
import json
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import config
from gateway.config import Source, values
from gateway.config.tables import beside_others
from gateway.model.errors import ConfigError
from gateway.outbox.writer import QUEUE_BYTES
from gateway.plugin import Bearer, Destination, FollowUp, Limits, Request, Retry, Skip, verdicts
from gateway.privacy.consent import RegionRule
from gateway.privacy.signals.heard import NOBODY, Vendor

KEY = "web-key-0123456789"
TOKEN = "tok-very-secret-0123456789"

ACME = Destination(
    name="acme",
    api_version="v3",
    docs="https://developers.acme.example/capi",
    config_schema={
        "type": "object",
        "required": ["account", "token"],
        "properties": {
            "account": {"type": "string", "pattern": "^[0-9]+$", "description": "Ad account number. Digits only."},
            "token": {"type": "string", "minLength": 3, "writeOnly": True, "description": "Conversion token."},
            "region": {"type": "string", "default": "eu"},
            "test_code": {"type": "string"},
            "token_url": {"type": "string"},
            "key_file": {"type": "string"},
            "level": {"type": "integer", "default": 1},
            "options": {"type": "object", "properties": {"deep": {"type": "boolean", "default": True}}},
        },
    },
    names={"Purchase": "Checkout", "Lead": "Signup", "PageView": "View"},
    off_by_default=frozenset({"PageView"}),
    purposes={"ad_storage", "ad_user_data"},
    limited=frozenset({"US"}),
    digests={"email": "email_plain", "external_id": "id_trimmed"},
    auth=Bearer("token"),
    limits=Limits(batch=500, rate=5.0, max_age_s=7 * 86400, linger_s=0.5, concurrency=3, timeout_s=8.0),
    retry=Retry(first_s=5, factor=4, max_s=600, give_up_s=3 * 86400),
    map_event=lambda event, config: Skip("unsupported"),
    build_request=lambda batch, config: Request("POST", "https://api.acme.example"),
    classify=lambda response, n: verdicts.by_status(response, n),
    accepts_test=lambda config: "test_code" in config,
)
#: Takes custom events, asks for outcomes later, has no secrets, no test mode and is not for ads.
OPEN = dataclasses.replace(
    ACME,
    name="open",
    config_schema={"type": "object", "properties": {"url": {"type": "string", "format": "uri"}}},
    custom_names=True,
    purposes={"analytics_storage"},
    accepts_test=None,
    limits=Limits(),
    follow_up=FollowUp(
        first_s=60,
        factor=2,
        max_s=3600,
        give_up_s=86400,
        build_request=lambda request_id, config: Request("GET", "https://api.acme.example"),
        classify=lambda response: verdicts.delivered(),
    ),
)
PLUGINS = {"acme": ACME, "open": OPEN}


@pytest.fixture
def load(tmp_path):
    """Load a configuration from a text."""

    def load(text="", environ=None, plugins=PLUGINS):
        file = tmp_path / "gateway.toml"
        file.write_text(text, encoding="utf-8")
        return config.load(file, environ or {}, lambda folder: plugins)

    return load


@pytest.fixture
def faults(load, tmp_path):
    """The faults of a configuration: key → message."""

    def faults(text, environ=None, plugins=PLUGINS):
        with pytest.raises(ConfigError) as caught:
            load(text, environ, plugins)
        prefix = f"{tmp_path / 'gateway.toml'}: "
        lines = str(caught.value).split("\n")
        assert all(line.startswith(prefix) for line in lines)
        return dict(line.removeprefix(prefix).split(": ", 1) for line in lines)

    return faults


def acme(more="", after=""):
    return f'[destinations.acme]\nplugin = "acme"\naccount = "42"\ntoken = "{TOKEN}"\n{more}\n{after}'


# The file


def test_a_missing_file_says_how_to_get_one(tmp_path):
    with pytest.raises(ConfigError, match="no such file; `gateway init` writes one"):
        config.read(tmp_path / "gateway.toml", {})


def test_a_syntax_error_names_line_and_column(load):
    with pytest.raises(ConfigError, match=r"gateway\.toml: line 2, column 8: not TOML: "):
        load("[server]\nport = = 1\n")


def test_a_syntax_error_at_the_end_says_so(load):
    with pytest.raises(ConfigError, match=r"gateway\.toml: (end of the file|line 1, column \d+): not TOML: "):
        load('[server]\nhost = """x')


def test_a_file_that_is_no_text_is_refused(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        config.read(file, {})


def test_a_byte_order_mark_is_no_fault(load):
    assert load("\ufeff[server]\nport = 1").server.port == 1


# References


def test_references_are_put_into_strings_at_any_depth(load, tmp_path):
    (tmp_path / "token").write_text("from-file-123\n\n")
    found = load(
        f'plugins_dir = "${{DIR}}"\n[sources.web]\nwrite_key = ["${{KEY}}", "{KEY}"]\n'
        + acme('region = "a$$b-${KEY}-$${KEY}"').replace(TOKEN, "${file:token}"),
        {"DIR": "more", "KEY": "key-0123456789abcdef"},
    )
    assert found.plugins_dir == tmp_path / "more"
    assert found.sources["web"].write_keys == ("key-0123456789abcdef", KEY)
    instance = found.destinations["acme"]
    assert instance.config["region"] == "a$b-key-0123456789abcdef-${KEY}"
    assert instance.secrets["token"] == "from-file-123\n", "only one newline is dropped"


def test_what_was_put_in_is_not_looked_at_again(load):
    found = load(acme('region = "${A}"'), {"A": "${B}$$"})
    assert found.destinations["acme"].config["region"] == "${B}$$"


def test_a_missing_and_an_empty_variable_are_named_with_their_keys(faults, tmp_path):
    (tmp_path / "empty").write_text("\n")
    found = faults(
        '[sources.a]\nwrite_key = "${A_KEY}"\n[sources.b]\nwrite_key = ["x123456789abcdef", "${B_KEY}"]\n'
        '[server]\nhost = "${file:empty}"\n[outbox]\nurl = "${file:none}"',
        {"B_KEY": ""},
    )
    assert found == {
        "sources.a.write_key": "the environment variable A_KEY is not set",
        "sources.b.write_key.1": "the environment variable B_KEY is empty",
        "outbox.url": "the file none cannot be read: No such file or directory",
        "server.host": "the file empty is empty",
    }


@pytest.mark.parametrize("text", ["pa$word", "${}", "${A-B}", "${A:-x}", "$A", "${open"])
def test_a_dollar_that_is_no_reference_is_refused_without_showing_the_value(faults, text):
    found = faults(acme(f'region = "{text}"'), {"A": "x"})
    assert list(found) == ["destinations.acme.region"]
    assert "${NAME}" in found["destinations.acme.region"]
    assert text not in found["destinations.acme.region"]


def test_a_destination_that_is_off_needs_no_secrets_and_takes_nothing(load):
    found = load('[destinations.acme]\nenabled = false\naccount = "${NOPE}"\n[destinations.acme.retry]\nmax = "$"')
    instance = found.destinations["acme"]
    assert instance.enabled is False
    assert instance.platform_name("Purchase") is None
    assert dict(instance.secrets) == {}
    assert found.enabled == {}


def test_a_destination_that_is_off_is_still_checked_for_unknown_keys_and_plugins(faults):
    found = faults('[destinations.a]\nplugin = "acme"\nenabled = false\ntokn = ""\n[destinations.b]\nenabled = false')
    assert found["destinations.a.tokn"] == "unknown key; did you mean token?"
    assert found["destinations.b.plugin"].startswith('there is no plugin "b"')


@pytest.mark.parametrize(("value", "count"), [("true", 1), ("false", 0)])
def test_the_environment_can_switch_a_destination(load, value, count):
    text = acme('enabled = "${ON}"').replace(TOKEN, "${TOKEN}")
    environ = {"ON": value} | ({"TOKEN": TOKEN} if count else {})
    assert len(load(text, environ).enabled) == count


def test_a_text_from_the_environment_becomes_a_number_where_one_belongs(load, faults):
    text = '[server]\nport = "${PORT}"\n' + acme('level = "${LEVEL}"')
    found = load(text, {"PORT": "9000", "LEVEL": "3"})
    assert found.server.port == 9000
    assert found.destinations["acme"].config["level"] == 3
    assert faults(text, {"PORT": "many", "LEVEL": "3"}) == {"server.port": "expected an integer, found a string"}
    assert faults('[server]\nport = "9000"') == {"server.port": "expected an integer, found a string"}


# Faults


def test_all_faults_are_told_at_once_in_the_order_of_their_keys(faults):
    found = faults(
        "[server]\nprot = 1\nport = true\n[outbox]\nretention = 1979-05-27\n[sources.web]\n"
        + acme().replace("token =", "tokn =").replace('"42"', '"4x2"')
    )
    assert found == {
        "destinations.acme.account": 'expected a text that matches ^[0-9]+$ (Ad account number), found "4x2"',
        "destinations.acme.tokn": "unknown key; did you mean token?",
        "destinations.acme.token": "missing: a string is required (Conversion token)",
        "outbox.retention": 'expected a number of seconds or a text like "500ms", "30s", "5m", "12h", "7d", '
        "found a date or time",
        "server.port": "expected an integer, found a boolean",
        "server.prot": "unknown key; did you mean port?",
        "sources.web": "needs a `write_key` (for servers) or a `public_key` (for browsers)",
    }
    assert list(found) == sorted(found)


def test_an_unknown_key_that_resembles_none_lists_what_is_known(faults):
    assert faults("[consent]\nxyzzy = 1") == {
        "consent.xyzzy": "unknown key; known are gpp_without_gpc, regions, unknown_region"
    }
    assert faults("[servr]") == {"servr": "unknown key; did you mean server?"}


@pytest.mark.parametrize("text", ["sources = 1", "destinations = []", "[sources]\nweb = 1", "server = 'x'"])
def test_what_should_be_a_table_and_is_none_is_refused(faults, text):
    (message,) = faults(text).values()
    assert message.startswith("expected a table, found ")


@pytest.mark.parametrize(
    "text",
    [
        '[server]\nadmin_token = "SECRET"',
        '[server]\nadmin_token = "SECRETSECRETSECRET ü"',
        '[server]\nadmin_token = "TTTTTTTTTTSSSSSSSSSSSECRET"\n[sources.web]\nwrite_key = "TTTTTTTTTTSSSSSSSSSSSECRET"',
        '[sources.web]\nwrite_key = "SECRETSECRETSECRETSECRET"',
        '[sources.web]\nwrite_key = "SECRET"',
        '[sources.web]\nwrite_key = ["SECRET"]',
        '[sources.web]\nwrite_key = "SECRET-0123456789 ü"',
        '[destinations.acme]\naccount = "1"\ntoken = 5\nregion = ["SECRET"]',
        '[destinations.acme]\naccount = "${S}"\ntoken = "x1234"',
        '[destinations.acme]\naccount = "1"\ntoken = "S"',
        '[outbox]\nurl = "postgresql://user:SECRET@host/db"',
        '[privacy]\nencryption_key = "SECRET"',
        '[privacy]\nencryption_key = "SECRETSECRETSECRETSECRETSECRET"',
        'server = "SECRET"',
        acme('base_url = "https://user:SECRET@api.example"'),
    ],
)
def test_no_fault_shows_a_secret_or_a_value_from_elsewhere(faults, text):
    assert "SECRET" not in str(faults(text, {"S": "SECRET"}))


def test_settings_print_without_their_secrets(load):
    text = f'[sources.web]\nwrite_key = "{KEY}"\npublic_key = ["public-key-0123456789"]\n'
    found = load('[server]\nadmin_token = ["admin-token-0123456789"]\n' + text + acme())
    printed = repr(found) + json.dumps(found.redacted())
    for secret in (KEY, TOKEN, "public-key-0123456789", "admin-token-0123456789"):
        assert secret not in printed
    shown = found.redacted()
    assert shown["sources"]["web"]["write_keys"] == ["***"]
    assert shown["destinations"]["acme"]["secrets"] == {"token": "***"}
    assert shown["destinations"]["acme"]["config"]["account"] == "42"
    assert shown["destinations"]["acme"]["destination"] == "acme"
    assert found.destinations["acme"].secrets["token"] == TOKEN


@pytest.mark.parametrize("key", ["a" * 16, "01" * 20, "abcde" * 4])
def test_a_secret_key_that_nobody_drew_is_refused(faults, load, key):
    text = f'[server]\nadmin_token = "{key}"\n[sources.web]\nwrite_key = "{key}x"\npublic_key = "{key}y"'
    assert set(faults(text)) == {"server.admin_token", "sources.web.write_key"} - (
        {"sources.web.write_key"} if len({*key}) >= 5 else set()
    )


def test_a_key_has_one_place(faults):
    text = f'[server]\nadmin_token = "{KEY}"\n[sources.web]\nwrite_key = "{KEY}"\n[sources.app]\npublic_key = "{KEY}"'
    assert faults(text) == {
        "sources.web.write_key": "the same key as server.admin_token; every key must be different",
        "sources.app.public_key": "the same key as server.admin_token; every key must be different",
    }


# [server], [outbox], [privacy]


def test_the_server_takes_addresses_and_sizes(load):
    server = load(
        '[server]\nhost = "0.0.0.0"\ntrusted_proxies = ["10.0.0.0/8", "2001:db8::1"]\nmax_body_bytes = "2MiB"'
    ).server
    assert [str(one) for one in server.trusted_proxies] == ["10.0.0.0/8", "2001:db8::1/128"]
    assert server.max_body_bytes == 2 * 1024 * 1024
    assert server.host == "0.0.0.0"


def test_a_destination_has_names_in_consent_strings(load):
    text = acme(after="[destinations.acme.consent]\ntcf_vendor = 755\natp_id = 89\ntcf_purposes_only = true")
    assert load(text).destinations["acme"].requirement.vendor == Vendor(755, 89, True)
    assert load(acme()).destinations["acme"].requirement.vendor == NOBODY


@pytest.mark.parametrize("text", ["00112233" * 8, base64.b64encode(bytes(range(32))).decode()])
def test_keys_for_payloads_come_in_two_spellings(load, text):
    found = load(f'[privacy]\nencryption_key = ["{text}", "{"ab" * 32}"]')
    assert [len(key) for key in found.privacy.keyring.keys] == [32, 32]
    assert found.privacy.keyring.keys[1] == b"\xab" * 32
    assert found.redacted()["privacy"]["keyring"] == ["***", "***"]
    assert text not in repr(found)


@pytest.mark.parametrize(
    "text", ["00112233" * 7, "zz" * 32, base64.b64encode(bytes(31)).decode(), "no key at all, 16+"]
)
def test_what_is_no_key_for_payloads_is_refused(faults, text):
    found = faults(f'[privacy]\nencryption_key = "{text}"')
    assert "openssl rand -base64 32" in found["privacy.encryption_key"]


def test_what_is_not_built_says_so(faults):
    found = faults('[outbox]\nurl = "postgresql://db/x"\n' + acme())
    assert list(found) == ["outbox.url"]
    assert "is not built yet" in found["outbox.url"]


@pytest.mark.parametrize("value", ['"32.1MB"', '"32MiB"', '"1GB"', "32000001"])
def test_a_body_larger_than_the_outbox_takes_is_refused(faults, value):
    found = faults(f"[server]\nmax_body_bytes = {value}")
    assert list(found) == ["server.max_body_bytes"]
    assert 'at most "32MB"' in found["server.max_body_bytes"]


def test_the_largest_body_fits_into_the_outbox(load):
    assert load('[server]\nmax_body_bytes = "32MB"').server.max_body_bytes == 32_000_000 < QUEUE_BYTES


def test_proxies_are_addresses(faults):
    found = faults('[server]\ntrusted_proxies = ["10.0.0.1", "proxy.example"]')
    assert found == {"server.trusted_proxies.1": "expected an IP address or a network like 10.0.0.0/8"}


def test_the_outbox_is_relative_to_the_file_or_absolute(load, tmp_path):
    assert load().outbox.path == tmp_path / "gateway.db"
    assert load('[outbox]\nurl = "sqlite:///data/x.db"').outbox.path == tmp_path / "data/x.db"
    assert str(load('[outbox]\nurl = "sqlite:////var/lib/x.db"').outbox.path) == "/var/lib/x.db"


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "gateway.db", "mysql://x", "sqlite:///a?b"]
)
def test_the_outbox_is_a_file(faults, url):
    assert "expected a file" in faults(f'[outbox]\nurl = "{url}"')["outbox.url"]


def test_an_event_is_not_forgotten_while_it_can_have_duplicates(load, faults):
    assert "dedup_window" in faults('[outbox]\nretention = "6d"')["outbox.retention"]
    assert load('[outbox]\nretention = "6d"\ndedup_window = "2d"').outbox.dedup_window_s == 2 * 86400


def test_privacy_is_read_in_seconds(load):
    assert load().privacy == config.Privacy(payload_retention_s=7 * 86400.0, ip_retention_s=None)
    found = load(
        '[privacy]\npayload_retention = 60\nip_retention = "12h"\nurl_parameters = ["q"]\ndigest_rules = "all"'
    )
    assert found.privacy == config.Privacy(
        payload_retention_s=60.0, ip_retention_s=43200.0, url_parameters=("q",), all_digest_rules=True
    )


# [sources]


def test_a_source_is_read_and_normalised(load):
    source = load(
        f'[sources.web]\nwrite_key = "{KEY}"\npublic_key = ["public-key-one-01", "public-key-two-02"]\n'
        'origins = ["https://Shop.Example/", "http://localhost:3000", "https://shop.example:443", "*"]\n'
        'region = "us-ca"\ndefault_country = "de"\ndedup_group = "shop"'
    ).sources["web"]
    assert source == config.Source(
        name="web",
        write_keys=(KEY,),
        public_keys=("public-key-one-01", "public-key-two-02"),
        origins=("https://shop.example", "http://localhost:3000", "*"),
        region="US-CA",
        default_country="DE",
        dedup_group="shop",
    )
    assert source.dedup_scope == "group:shop"
    assert config.Source(name="shop").dedup_scope == "source:shop", "a group is never mistaken for a source"


def test_a_source_may_name_its_pixels_and_its_streams(load, faults):
    source = load(
        f'[sources.web]\nwrite_key = "{KEY}"\nconversions_api = {{pixel_id = [123, "456"]}}\n'
        '[sources.web.measurement_protocol]\nmeasurement_id = "G-ABC123"\nevents = {scroll = false, quiz = "Lead"}'
    ).sources["web"]
    assert (source.pixel_ids, source.measurement_ids) == (("123", "456"), ("G-ABC123",))
    assert source.ga_events == {"scroll": False, "quiz": "Lead"}
    only = load('[sources.web]\nmeasurement_protocol = {measurement_id = ["G-A1", "1:2:android:3"]}').sources["web"]
    assert only.measurement_ids == ("G-A1", "1:2:android:3")
    stream = 'measurement_protocol = {measurement_id = "G-ABC123"}'
    found = faults(f"[sources.a]\n{stream}\n[sources.b]\n{stream}")
    assert list(found) == ["sources.b.measurement_protocol.measurement_id"]


def test_one_key_opens_one_door_of_one_source(faults):
    found = faults(
        f'[sources.a]\nwrite_key = "{KEY}"\n'
        f'[sources.b]\nwrite_key = ["other-key-0123456", "{KEY}"]\npublic_key = "other-key-0123456"'
    )
    assert found == {
        "sources.b.public_key": "the same key as sources.b.write_key; every key must be different",
        "sources.b.write_key": "the same key as sources.a.write_key; every key must be different",
    }


@pytest.mark.parametrize("key", ["short", "a key with spaces", "schlüssel-0123456789", "0123456789012345\\u0007"])
def test_a_key_is_long_enough_and_fits_in_a_header(faults, key):
    assert list(faults(f'[sources.web]\nwrite_key = "{key}"')) == ["sources.web.write_key"]


def test_the_examples_keys_open_nothing_to_the_network(load, faults):
    text = '[sources.web]\nwrite_key = "example-write-key-0000"'
    assert load(text).sources["web"].write_keys
    found = faults(f'[server]\nhost = "0.0.0.0"\n{text}')
    assert found == {"sources.web.write_key": "the example's key is public; `gateway init` makes fresh ones"}


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('origins = ["shop.example"]', "origins.0"),
        ('origins = ["https://shop.example/path"]', "origins.0"),
        ('origins = ["https://*.shop.example"]', "origins.0"),
        ('region = "California"', "region"),
        ('region = "UK"', "region"),
        ('default_country = "USA"', "default_country"),
        ('kind = "magento"', "kind"),
        ('dedup_group = ""', "dedup_group"),
        ("write_key = []", "write_key"),
        ('conversions_api = {pixel_id = "1/2"}', "conversions_api.pixel_id"),
        ('conversions_api = {pixel = "1"}', "conversions_api.pixel"),
        ("measurement_protocol = {measurement_id = []}", "measurement_protocol.measurement_id"),
        ("measurement_protocol = {events = {scroll = 1}}", "measurement_protocol.events.scroll"),
    ],
)
def test_a_malformed_source_is_refused(faults, line, key):
    text = f'[sources.web]\npublic_key = "{KEY}"\n{line}'
    assert list(faults(text)) == [f"sources.web.{key}"]


SECRET = "made up, & signs"


def test_a_source_of_webhooks_has_secrets_and_how_its_orders_count(load):
    found = load(f'[sources.shop]\nkind = "shopify"\nsigning_secret = ["{SECRET}", "the-one-before-it"]').sources[
        "shop"
    ]
    assert found.signing_secrets == (SECRET, "the-one-before-it")
    assert (found.purchase_when, found.order_id, found.content_id) == ("paid", "id", "variant")
    text = (
        f'kind = "woocommerce"\nwrite_key = "{KEY}"\npurchase_when = "created"\norder_id = "number"\ncontent_id = "sku"'
    )
    found = load(f"[sources.shop]\n{text}").sources["shop"]
    assert found.signing_secrets == (KEY,)
    assert (found.purchase_when, found.order_id, found.content_id) == ("created", "number", "sku")
    assert load(f'[sources.web]\nwrite_key = "{KEY}"').sources["web"].signing_secrets == ()


def test_a_signing_secret_is_shown_to_nobody(load):
    found = load(f'[sources.shop]\nkind = "stripe"\nsigning_secret = "{SECRET}"')
    assert found.redacted()["sources"]["shop"]["signing_secrets"] == ["***"]
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("lines", "fault", "word"),
    [
        ('kind = "shopify"', "sources.shop", "`signing_secret`"),
        (
            f'kind = "shopify"\npublic_key = "{KEY}"\nsigning_secret = "{SECRET}"',
            "sources.shop.public_key",
            "webhooks only",
        ),
        (f'kind = "stripe"\norigins = ["*"]\nsigning_secret = "{SECRET}"', "sources.shop.origins", "webhooks only"),
        (
            f'kind = "stripe"\norder_id = "name"\nsigning_secret = "{SECRET}"',
            "sources.shop.order_id",
            '"payment_intent"',
        ),
        (f'kind = "shopify"\norder_id = "key"\nsigning_secret = "{SECRET}"', "sources.shop.order_id", "id"),
        (f'write_key = "{KEY}"\norder_id = "id"', "sources.shop.order_id", "is for webhooks"),
        (f'write_key = "{KEY}"\nsigning_secret = "{SECRET}"', "sources.shop.signing_secret", "is for webhooks"),
        ('kind = "shopify"\nsigning_secret = "short"', "sources.shop.signing_secret", "16 characters"),
        ('kind = "shopify"\nsigning_secret = "aaaaaaaaaaaaaaaa"', "sources.shop.signing_secret", "different"),
        (
            f'kind = "stripe"\nsigning_secret = "{SECRET}"\n'
            f'[sources.two]\nkind = "stripe"\nsigning_secret = "{SECRET}"',
            "sources.two.signing_secret",
            "the same secret as sources.shop",
        ),
        (
            f'kind = "shopify"\nsigning_secret = "{KEY}"\n[sources.two]\nwrite_key = "{KEY}"',
            "sources.shop.signing_secret",
            "the same secret as sources.two.write_key",
        ),
    ],
)
def test_a_source_of_webhooks_that_cannot_work_is_refused(faults, lines, fault, word):
    found = faults(f"[sources.shop]\n{lines}")
    assert list(found) == [fault]
    assert word in found[fault]
    assert SECRET not in str(found)


@pytest.mark.parametrize("name", ["a b", "*", "ü", "-x", "x" * 65, ""])
def test_names_of_sources_and_destinations_are_plain(faults, name):
    assert len(faults(f'[sources."{name}"]\nwrite_key = "{KEY}"')) == 1
    found = faults(f'[destinations."{name}"]\nplugin = "open"')
    assert "not a name that can stand here" in next(iter(found.values()))


# [consent]


def test_regions_are_merged_over_the_shipped_ones_and_a_part_over_its_country(load):
    found = load(
        '[consent]\nunknown_region = "allow"\ngpp_without_gpc = "read"\n'
        '[consent.regions]\nUS-CA = { on_opt_out = "limited" }\n'
        'us-tx = { default = "deny" }\nUS = { on_opt_out = "limited" }\nBR = { default = "allow" }'
    ).consent
    assert found.unknown_region == "allow"
    assert not found.policy.needs_gpc
    assert found.regions["US-CA"] == RegionRule("allow", "limited")
    assert found.regions["US-TX"] == RegionRule("deny", "limited")
    assert found.regions["BR"] == RegionRule("allow", "skip")
    assert found.regions["DE"] == RegionRule("deny", "skip")
    assert found.policy.rule_for("US-TX").default == "deny"
    assert found.policy.rule_for(None).default == "allow"


def test_without_configuration_only_the_united_states_allow(load):
    found = load().consent
    assert {code for code, rule in found.regions.items() if rule.default == "allow"} == {"US"}
    assert {"DE", "GB", "CH", "NO", "IS", "LI"} <= found.regions.keys()
    assert found.policy.rule_for(None).default == "deny"


@pytest.mark.parametrize("code", ["UK", "EU", "D", "US_CA", "USA"])
def test_a_region_that_is_none_is_refused(faults, code):
    assert list(faults(f'[consent.regions.{code}]\ndefault = "allow"')) == [f"consent.regions.{code}"]


def test_a_region_in_two_spellings_is_refused(faults):
    assert "twice" in next(iter(faults("[consent.regions]\nde = {}\nDE = {}").values()))


# [destinations]


def test_an_instance_without_options_is_what_its_plugin_declares(load):
    instance = load(acme()).destinations["acme"]
    assert instance == config.Instance(
        name="acme",
        destination=ACME,
        config={"account": "42", "region": "eu", "level": 1},
        secrets=config.Secrets({"token": TOKEN}),
        names={"Purchase": "Checkout", "Lead": "Signup"},
        left_out=frozenset({"PageView"}),
        timeout_s=8.0,
        batch_size=500,
        linger_s=0.5,
        max_concurrency=3,
        rate=5.0,
        retry=ACME.retry,
        digests=ACME.digests,
        requires=frozenset({"ad_storage", "ad_user_data"}),
    )
    assert instance.requirement.limited == frozenset({"US"})


def test_every_option_changes_its_field(load):
    instance = load(
        acme(
            'timeout = "3s"\nbatch_size = 10\nbatch_linger = 0\nmax_concurrency = 1\nrate_limit = "300/m"\n'
            'max_age = "2d"\nfields = ["user_data.client_ip_address", "custom_data.contents.title", "app"]\n'
            'retry = { first = 1, max = "5m" }\ndigests = { external_id = "id_lowercase" }\n'
            'test_mode = true\ntest_code = "T1"\nbase_url = "http://localhost:9/x/"\nallow_private = true\n'
            "options = {}",
            '[destinations.acme.consent]\nrequires = ["ad_user_data"]\non_opt_out = "limited"',
        )
    ).destinations["acme"]
    assert (instance.timeout_s, instance.batch_size, instance.linger_s) == (3.0, 10, 0.0)
    assert (instance.max_concurrency, instance.rate, instance.max_age_s) == (1, 5.0, 172800.0)
    assert instance.deny_fields == {"user_data.client_ip_address", "custom_data.contents.title", "app"}
    assert instance.retry == Retry(first_s=1.0, factor=4, max_s=300.0, give_up_s=3 * 86400)
    assert instance.digests == {"email": "email_plain", "external_id": "id_lowercase"}
    assert instance.test_mode is True
    assert (instance.base_url, instance.allow_private) == ("http://localhost:9/x", True)
    assert instance.config["options"] == {"deep": True}
    assert (instance.requires, instance.on_opt_out) == (frozenset({"ad_user_data"}), "limited")


def test_two_instances_of_one_plugin_and_the_tables_name_as_the_plugins(load):
    found = load(acme() + acme().replace("destinations.acme", "destinations.acme_eu") + "[destinations.open]")
    assert [one.destination.name for one in found.destinations.values()] == ["acme", "acme", "open"]
    assert list(found.destinations) == ["acme", "acme_eu", "open"]


@pytest.mark.parametrize(
    ("events", "purchase", "lead", "view", "quiz"),
    [
        ('["Purchase", "PageView"]', "Checkout", None, "View", None),
        ("[]", None, None, None, None),
        ('{ Purchase = "Buy", Lead = false }', "Buy", None, None, None),
        ("{ PageView = true }", "Checkout", "Signup", "View", None),
        ('{ Quiz = "Signup" }', "Checkout", "Signup", None, "Signup"),
    ],
)
def test_events_choose_and_rename(load, events, purchase, lead, view, quiz):
    instance = load(acme(f"events = {events}")).destinations["acme"]
    assert [instance.platform_name(name) for name in ("Purchase", "Lead", "PageView", "Quiz")] == [
        purchase,
        lead,
        view,
        quiz,
    ]


@pytest.mark.parametrize(
    ("events", "lead", "view", "quiz"),
    [
        (None, "Signup", None, "Quiz"),
        ('["Lead", "Quiz"]', "Signup", None, "Quiz"),
        ('["Lead"]', "Signup", None, None),
        ("{ Lead = false, Quiz = false }", None, None, None),
        ('{ PageView = true, Quiz = "Q" }', "Signup", "View", "Q"),
    ],
)
def test_events_of_a_plugin_that_takes_custom_names(load, events, lead, view, quiz):
    line = "" if events is None else f"events = {events}"
    instance = load(f"[destinations.open]\n{line}").destinations["open"]
    assert [instance.platform_name(name) for name in ("Lead", "PageView", "Quiz")] == [lead, view, quiz]


def test_an_event_that_the_plugin_does_not_take_is_refused_with_the_nearest(faults):
    found = faults(acme('events = ["Purchase", "purchas"]'))
    assert found == {"destinations.acme.events.1": "the plugin acme does not take purchas; did you mean Purchase?"}
    assert list(faults(acme("events = { Quiz = true }"))) == ["destinations.acme.events.Quiz"]


@pytest.mark.parametrize(
    ("line", "key", "words"),
    [
        ("batch_size = 501", "batch_size", "at most 500"),
        ("batch_size = 0", "batch_size", "at least 1"),
        ('max_age = "8d"', "max_age", "at most 7d"),
        ('timeout = "0s"', "timeout", "more than 0"),
        ('timeout = "soon"', "timeout", "30s"),
        ("timeout = nan", "timeout", "finite"),
        ("timeout = -1", "timeout", "30s"),
        ('rate_limit = "0/s"', "rate_limit", "10/s"),
        ("rate_limit = 10", "rate_limit", "10/s"),
        ('retry = { first = "1h" }', "retry", "longer than `max`"),
        ("retry = { factor = 0.5 }", "retry.factor", "at least 1"),
        ('retry = { frist = "1h" }', "retry.frist", "did you mean first?"),
        ('follow_up = { first = "1m" }', "follow_up", "no questions later"),
        ("test_mode = true", "test_mode", "set test_code"),
        ('fields = ["user_data.emial"]', "fields.0", "did you mean user_data.email?"),
        ('fields = ["event_id"]', "fields.0", "cannot be held back"),
        ('fields = ["user_data..email"]', "fields.0", "no field"),
        ('digests = { email = "email_plan" }', "digests.email", "did you mean email_plain?"),
        ('digests = { phone = "phone_e164" }', "digests.phone", "no digest of it"),
        ('consent = { requires = ["ad_stuff"] }', "consent.requires.0", '"ad_storage"'),
        ("consent = { requires = [] }", "consent.requires", "at least 1"),
        ('consent = { requires = ["analytics_storage"] }', "consent.requires", "ad_user_data"),
        ('consent = { on_opt_out = "send" }', "consent.on_opt_out", '"skip" or "limited"'),
        ('level = "1"', "level", "expected an integer"),
        ('token_url = "http://token.example"', "token_url", "https"),
        ("options = { deep = 1 }", "options.deep", "true or false"),
    ],
)
def test_an_option_that_cannot_be_is_refused(faults, line, key, words):
    found = faults(acme(line))
    assert list(found) == [f"destinations.acme.{key}"]
    assert words in found[f"destinations.acme.{key}"]


def test_a_required_key_may_not_be_empty(faults):
    text = acme().replace(TOKEN, "")
    assert list(faults(text)) == ["destinations.acme.token"]


def test_a_plugin_without_test_mode_says_so(faults):
    assert "has no test mode" in faults("[destinations.open]\ntest_mode = true")["destinations.open.test_mode"]


def test_what_a_plugin_asks_later_keeps_its_functions(load):
    found = load('[destinations.open]\nfollow_up = { first = "5m" }').destinations["open"].follow_up
    assert found == dataclasses.replace(OPEN.follow_up, first_s=300.0)


def test_a_destination_that_is_not_for_ads_may_require_analytics_alone(load):
    assert load("[destinations.open]").destinations["open"].requires == {"analytics_storage"}


def test_a_plugins_file_is_found_from_the_configurations_folder(load, tmp_path):
    instance = load(acme('key_file = "keys/a.json"')).destinations["acme"]
    assert instance.config["key_file"] == str(tmp_path / "keys/a.json")
    assert load(acme('key_file = "/etc/a.json"')).destinations["acme"].config["key_file"] == "/etc/a.json"


def test_a_plugin_may_not_declare_the_gateways_keys(faults):
    taken = dataclasses.replace(OPEN, config_schema={"type": "object", "properties": {"timeout": {"type": "string"}}})
    assert "the gateway's own" in faults("[destinations.open]", plugins={"open": taken})["destinations.open"]


def test_a_plugin_with_a_faulty_schema_stops_the_start(faults):
    broken = dataclasses.replace(OPEN, config_schema={"type": "objekt"})
    assert "faulty config schema" in faults("[destinations.open]", plugins={"open": broken})["destinations.open"]


ALTERNATIVES = {
    "type": "object",
    "anyOf": [{"required": ["a", "b", "c"]}, {"required": ["d"]}],
    "properties": {
        **{key: {"type": "string"} for key in "abcd"},
        "e": {
            "anyOf": [
                {"type": "integer"},
                {"type": "object", "properties": {"id": {"type": "string"}}, "additionalProperties": False},
            ]
        },
    },
}


@pytest.mark.parametrize(
    ("line", "key", "message"),
    [
        ('a = "x"', "", "needs a, b and c, or d"),
        ('d = "x"\ne = "x"', ".e", "expected an integer or a table, found a string"),
        ('d = "x"\ne = { idd = "x" }', ".e.idd", "unknown key; did you mean id?"),
        ('d = "x"\ne = { id = 1 }', ".e.id", "expected a string, found an integer; put it in quotes"),
    ],
)
def test_alternatives_in_a_plugins_schema_are_explained(faults, line, key, message):
    either = {"either": dataclasses.replace(OPEN, config_schema=ALTERNATIVES)}
    assert faults(f"[destinations.either]\n{line}", plugins=either) == {f"destinations.either{key}": message}


# URLs


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example",
        "https://localhost",
        "https://LOCALHOST.:8443/x",
        "https://app.localhost",
        "https://127.0.0.1",
        "https://127.1",
        "https://0x7f000001",
        "https://2130706433",
        "https://0.0.0.0",
        "https://10.1.2.3",
        "https://169.254.169.254/latest",
        "https://[::1]",
        "https://[::ffff:10.0.0.1]",
        "https://[fe80::1]",
        "https://[fd00::1]",
        "https://100.64.0.1",
        "https://224.0.0.1",
    ],
)
def test_private_addresses_and_plain_http_need_allow_private(faults, load, url):
    assert "allow_private" in faults(acme(f'base_url = "{url}"'))["destinations.acme.base_url"]
    assert "allow_private" in faults(f'[destinations.open]\nurl = "{url}"')["destinations.open.url"]
    assert load(acme(f'base_url = "{url}"\nallow_private = true')).destinations["acme"].base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "api.example",
        "ftp://api.example",
        "https://",
        "https://u:p@api.example",
        "https://a.example/?q",
        "https://a b",
        "https://a:x",
    ],
)
def test_a_url_that_is_none_is_refused_even_then(faults, url):
    assert list(faults(acme(f'base_url = "{url}"\nallow_private = true'))) == ["destinations.acme.base_url"]


def test_a_public_url_needs_nothing(load):
    assert load(acme('base_url = "https://proxy.example/meta/"')).destinations["acme"].base_url == (
        "https://proxy.example/meta"
    )
    assert load(acme('base_url = "https://8.8.8.8"')).destinations["acme"].base_url == "https://8.8.8.8"


# Forms


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("1.5m", 90), ("12h", 43200), ("7d", 604800), (0, 0), (2.5, 2.5)],
)
def test_durations(text, seconds):
    assert values.duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "s", "-5s", "5 weeks", "5S", "5s\n", "5s 3m", float("inf"), -1, "9" * 400 + "d", "٣s"]
)
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="expected"):
        values.duration(text)


@pytest.mark.parametrize(
    ("text", "size"), [(1, 1), ("5MB", 5_000_000), ("8 MiB", 8388608), ("500kB", 500_000), ("1.5KB", 1500)]
)
def test_sizes(text, size):
    assert values.size(text) == size


@pytest.mark.parametrize(("text", "rate"), [("10/s", 10.0), ("300/m", 5.0), ("36/h", 0.01), ("0.5/s", 0.5)])
def test_rates(text, rate):
    assert values.rate(text) == pytest.approx(rate)


# Staging and reload


def test_plugins_are_loaded_from_the_folder_that_the_file_names(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text('plugins_dir = "mine"\n[destinations.acme]\naccount = "1"\ntoken = "abc"')
    asked = []

    def plugins(folder):
        asked.append(folder)
        return PLUGINS

    assert config.load(file, {}, plugins).plugins_dir == tmp_path / "mine"
    assert asked == [tmp_path / "mine"]


def test_a_document_can_be_read_twice(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text('[server]\nport = "${PORT}"\n[sources.web]')
    document = config.read(file, {"PORT": "9000"})
    messages = []
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            config.settings(document, {})
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "sources.web" in messages[0]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", ()),
        ('[server]\nhost = "::1"\nport = 1', ("server.host", "server.port")),
        ('plugins_dir = "x"\n[outbox]\nurl = "sqlite:///y.db"', ("plugins_dir", "outbox.url")),
        ('[outbox]\nretention = "40d"\n[server]\nmax_events = 5', ()),
    ],
)
def test_what_a_running_gateway_cannot_take_up_is_named(load, text, keys):
    assert config.changes_needing_restart(load(), load(text)) == keys


#: Every function that reads a text of the file.
READERS = [
    values.duration,
    values.size,
    values.body_size,
    values.rate,
    values.region,
    values.network,
    values.origin,
    partial(values.base_url, allow_private=False),
    partial(values.url, allow_private=True),
]
TEXTS = (
    st.text(max_size=40)
    | st.from_regex(r"\d{0,400}(\.\d{0,20})? ?(ms|s|m|h|d|MB|KiB|/s)?")
    | st.builds(
        "{}://{}:{}/{}".format,
        st.sampled_from(["http", "https", "ftp"]),
        st.text(max_size=12),
        st.text("0123456789-", max_size=8),
        st.text(max_size=6),
    )
)


@pytest.mark.parametrize("read", READERS)
@given(text=TEXTS)
def test_any_text_is_read_or_refused_with_what_is_allowed(read, text):
    try:
        found = read(text)
    except ValueError as error:
        told = str(error)
        if not any(words in told for words in ("expected", "not an ISO", "leads to", "https")):
            raise
        return
    if isinstance(found, float):
        assert 0 <= found < float("inf")
    elif isinstance(found, str):
        assert read(found) == found  # its own form stays


# Sources beside one another


def test_where_a_shops_server_reports_orders_visits_are_remembered_and_purchases_of_its_group_wait():
    web, shop = Source(name="web", dedup_group="a"), Source(name="shop", dedup_group="a", kind="shopify")
    other, own = Source(name="other"), Source(name="own", dedup_group="a", copy_wait_s=5.0)
    given = {"web": {}, "shop": {}, "other": {}, "own": {"copy_wait": "5s", "remember_visits": False}}
    found = beside_others({one.name: one for one in (web, shop, other, own)}, given)
    assert {name: (one.remember_visits, one.copy_wait_s) for name, one in found.items()} == {
        "web": (True, 60.0),
        "shop": (True, 60.0),
        "other": (True, 0.0),
        "own": (False, 5.0),
    }
    assert beside_others({"web": web}, {"web": {}}) == {"web": web}


def test_a_source_says_whether_its_visits_are_remembered_and_how_long_a_purchase_waits(load):
    found = load(f'[sources.web]\npublic_key = "{KEY}"\nremember_visits = true\ncopy_wait = "90s"').sources["web"]
    assert (found.remember_visits, found.copy_wait_s) == (True, 90.0)


SEGMENT = """
[sources.web.segment]
screen = false
value = ["Total"]
events = { "Quiz Finished" = "Lead", Noise = false }
consent_categories = { Advertising = ["ad_storage"] }
integrations = { "Facebook (Actions)" = "acme", Both = ["acme"] }
"""


def test_a_source_says_how_it_reads_segments_calls(load):
    assert load(f'[sources.web]\nwrite_key = "{KEY}"').sources["web"].segment == config.Segment()
    found = load(f'[sources.web]\nwrite_key = "{KEY}"{SEGMENT}{acme()}').sources["web"].segment
    assert found == config.Segment(
        events={"quizfinished": "Lead", "noise": False},
        screen=False,
        value=("total",),
        consent_categories={"advertising": ("ad_storage",)},
        integrations={"facebook(actions)": ("acme",), "both": ("acme",)},
    )


def test_what_is_wrong_in_a_segment_table_is_told(faults):
    wrong = """
[sources.web.segment]
page = ""
event = {}
events = { Noise = 1 }
consent_categories = { Advertising = ["ads"] }
"""
    found = faults(f'[sources.web]\nwrite_key = "{KEY}"{wrong}')
    assert list(found) == [
        "sources.web.segment.consent_categories.Advertising.0",
        "sources.web.segment.event",
        "sources.web.segment.events.Noise",
        "sources.web.segment.page",
    ]
    lost = '[sources.web.segment]\nintegrations = { Face = "acne" }'
    assert faults(f'[sources.web]\nwrite_key = "{KEY}"\n{lost}\n{acme()}') == {
        "sources.web.segment.integrations.face": "no destination acne; did you mean acme?"
    }


def test_a_source_says_which_cookies_its_pages_get(load):
    assert load(f'[sources.web]\npublic_key = "{KEY}"').sources["web"].browser == config.BrowserCookies()
    table = 'cookies = ["_fbp"]\nvisitor_cookie = ""\ncookie_domain = ".Shop.example"\ncookie_max_age = "30d"'
    found = load(f'[sources.web]\npublic_key = "{KEY}"\n[sources.web.browser]\n{table}').sources["web"].browser
    assert found == config.BrowserCookies(
        cookies=("_fbp",), visitor_cookie="", cookie_domain="shop.example", cookie_max_age_s=30 * 86400.0
    )


def test_cookies_that_no_page_would_see_are_a_fault(faults, load):
    source = f'[sources.web]\npublic_key = "{KEY}"\norigins = ["https://www.shop.example"]\n[sources.web.browser]\n'
    assert list(faults(f'{source}cookie_domain = "other.example"')) == ["sources.web.browser.cookie_domain"]
    assert load(f'{source}cookie_domain = "shop.example"').sources["web"].browser.cookie_domain == "shop.example"


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('cookies = ["_ga"]', "cookies.0"),
        ('visitor_cookie = "a=b"', "visitor_cookie"),
        ('visitor_cookie = "a; Domain=evil.example"', "visitor_cookie"),
        ('cookie_domain = "com"', "cookie_domain"),
        ('cookie_domain = "https://shop.example"', "cookie_domain"),
        ('cookie_domain = "shop.example; HttpOnly"', "cookie_domain"),
        ('cookie_max_age = "396d"', "cookie_max_age"),
        ("cookie_max_age = 0", "cookie_max_age"),
    ],
)
def test_what_is_wrong_with_cookies_is_told(faults, line, key):
    found = faults(f'[sources.web]\npublic_key = "{KEY}"\n[sources.web.browser]\n{line}')
    assert list(found) == [f"sources.web.browser.{key}"]

"""Settings are followed or refused by name; nothing is ignored."""

from datetime import date
from pathlib import Path

import pytest

from tessera.domain.request import Tier
from tessera.settings import Settings, SettingsError, load_settings, notices, split_listen

WRONG_ORIGINS = ("", "app.example.com", "https://app.example.com/", "https://App.example.com", "https://")
WRONG_ISSUERS = [
    "id.example.com",
    "http://id.example.com",
    "http://localhost.evil.example",
    "https://user:secret@id.example.com",
    "https://id.example.com?x",
    "https://id.example.com/#x",
    "",
]


def from_file(tmp_path: Path, text: str, **environment: str) -> Settings:
    path = tmp_path / "tessera.toml"
    path.write_text(text)
    return load_settings(environment, config=path)


@pytest.mark.parametrize(
    ("text", "named", "nearest"),
    [
        ('listn = "127.0.0.1:1"', "listn", "listen"),
        ("[limits]\nimage_max = 3", "limits.image_max", "images_max"),
        ('[[provider]]\nname = "a"\nbase_url = "http://h/v1"\nbase_uri = "x"', "provider[0].base_uri", "base_url"),
        ('[[price]]\nmodel = "m"\n[price.above]\ntoken = 3', "price[0].above.token", "tokens"),
        ("[price_book]\nx = 1", "price_book", "price"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(
    tmp_path: Path, text: str, named: str, nearest: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        from_file(tmp_path, text)
    assert f"`{named}`" in str(caught.value)
    assert f"nearest known key is `{nearest}`" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[limits]\nimages_max = "many"', "limits.images_max"),
        ("provider = 5", "provider"),
        ("limits = 5", "limits"),
        ("data_dir = 7", "data_dir"),
        ("[limits]\nimages_max = 0", "limits.images_max"),
        ('[media]\nforward = "sometimes"', "media.forward"),
        ("[media]\nports = [0]", "media.ports"),
        ("[media]\nports = [80.5]", "media.ports"),
        ('[[deployment]]\nmodel = "m"', "provider"),
        ('[[price]]\nmodel = "m"\nvalid_from = "soon"', "price[0].valid_from"),
        ('trusted_proxies = ["proxy"]', "trusted_proxies"),
        ('[[provider]]\nname = "sight"\nbase_url = "http://h/v1"', "provider[0].name"),
        ('[[provider]]\nname = "a"\nbase_url = "h:9000"', "provider[0].base_url"),
        ('[[deployment]]\nmodel = "m"\nprovider = "No Body"', "deployment[0].provider"),
        ('[[deployment]]\nmodel = "m"\nprovider = "sandbox"', "deployment[0].provider"),
        ('[[provider]]\nname = "a"\nbase_url = "http:///v1"', "provider[0].base_url"),
        ('[[provider]]\nname = "a"\nbase_url = "http://h:99999/v1"', "provider[0].base_url"),
        ('trusted_base_urls = ["10.0.0.5:8000"]', "trusted_base_urls"),
        ('trusted_base_urls = ["http://10.0.0.5:0/v1"]', "trusted_base_urls"),
        *((f'cors_origins = ["{origin}"]', "cors_origins") for origin in WRONG_ORIGINS),
        ("[limits]\nquote_seconds = 9223372036854775807", "limits.quote_seconds"),
        ('data_dir = ""', "data_dir"),
        *((f'[[oidc]]\nname = "a"\nissuer = "{url}"\nclient_id = "t"', "oidc[0].issuer") for url in WRONG_ISSUERS),
        ('[[oidc]]\nname = ""\nissuer = "https://h"\nclient_id = "t"', "oidc[0].name"),
        ('[[oidc]]\nname = "A/b"\nissuer = "https://h"\nclient_id = "t"', "oidc[0].name"),
        ('[[oidc]]\nname = "a"\nissuer = "https://h"\nclient_id = ""', "oidc[0].client_id"),
        ('[[oidc]]\nname = "a"\nissuer = "https://h"\nclient_id = "t"\n' * 2, "oidc[1].name"),
    ],
)
def test_a_wrong_value_is_named_by_its_path(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(SettingsError, match=r".") as caught:
        from_file(tmp_path, text)
    assert named.split("[")[0] in str(caught.value)


def test_origins_of_pages_and_apps_are_taken_as_browsers_send_them(tmp_path: Path) -> None:
    origins = ("https://app.example.com", "http://localhost:5173", "capacitor://localhost", "*")
    assert from_file(tmp_path, f"cors_origins = {list(origins)}".replace("'", '"')).cors_origins == origins


@pytest.mark.parametrize("name", ["TESSERA_DATA_DIR", "TESSERA_SECRETS_DIR"])
def test_a_folder_without_a_name_is_not_the_current_one(name: str) -> None:
    with pytest.raises(SettingsError, match="empty"):
        load_settings({name: "", "TESSERA_DATABASE_URL": "postgresql://h/tessera"})


@pytest.mark.parametrize("value", ["9" * 5000, "\u0663"])
def test_a_number_in_the_environment_is_of_few_plain_digits(value: str) -> None:
    with pytest.raises(SettingsError, match="TESSERA_LIMITS_IMAGES_MAX must be a whole number"):
        load_settings({"TESSERA_LIMITS_IMAGES_MAX": value})


def test_an_amount_written_as_a_number_is_refused_because_it_may_not_be_exact(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r'in quotes, as in "0\.20"'):
        from_file(tmp_path, '[[price]]\nmodel = "m"\ninput = 0.20\noutput = "1"')


@pytest.mark.parametrize("value", ["sk-proj-secret123", "secret123"])
def test_a_credential_in_the_file_is_refused_and_not_repeated(tmp_path: Path, value: str) -> None:
    for text in (
        f'[[provider]]\nname = "a"\nbase_url = "http://h/v1"\ncredential = "{value}"',
        f'[[oidc]]\nname = "a"\nissuer = "https://h"\nclient_id = "t"\nclient_secret = "{value}"',
    ):
        with pytest.raises(SettingsError, match="env:NAME or file:PATH") as caught:
            from_file(tmp_path, text)
        assert "secret123" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[provider]]\nname = "a"\nbase_url = "http://h"\ndialect = "anthropic"', "`openai` is"),
        ('[[provider]]\nname = "a"\nbase_url = "http://h"\nsurfaces = ["messages"]', "`chat` and `responses` are"),
    ],
)
def test_what_this_version_does_not_do_is_refused_plainly(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        from_file(tmp_path, text)


@pytest.mark.parametrize("url", ["mysql://u:hunter2@db/x", "hunter2", "postgresql://", "postgresql://u:hunter2@db/a b"])
def test_a_database_that_is_no_postgresql_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match="TESSERA_DATABASE_URL") as caught:
        load_settings({"TESSERA_DATABASE_URL": url})
    assert "hunter2" not in str(caught.value)


def test_the_embedded_database_has_no_address_and_no_shared_secrets(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="leave `database` unset"):
        load_settings({"TESSERA_DATABASE_URL": "sqlite:///x.db"})
    with pytest.raises(SettingsError, match="secrets_dir"):
        load_settings({"TESSERA_SECRETS_DIR": str(tmp_path)})


def test_a_postgresql_is_chosen_by_the_file_and_by_the_environment_over_it(tmp_path: Path) -> None:
    text = 'database = "postgresql://one/tessera"\nsecrets_dir = "secrets"'
    assert from_file(tmp_path, text).database == "postgresql://one/tessera"
    assert from_file(tmp_path, text).secrets_dir == tmp_path / "secrets"
    environment = {"TESSERA_DATABASE_URL": "postgresql://two/tessera", "TESSERA_SECRETS_DIR": "/run/secrets/tessera"}
    found = load_settings(environment)
    assert (found.database, found.secrets_dir) == ("postgresql://two/tessera", Path("/run/secrets/tessera"))


def test_an_unknown_variable_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(SettingsError, match="`TESSERA_DATADIR`; the nearest known key is `TESSERA_DATA_DIR`"):
        load_settings({"TESSERA_DATADIR": "/data"})


@pytest.mark.parametrize(
    ("name", "value"), [("TESSERA_LIMITS_IMAGES_MAX", "few"), ("TESSERA_MEDIA_ALLOW_PRIVATE_NETWORKS", "yes")]
)
def test_a_variable_of_the_wrong_type_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load_settings({name: value})


def test_variables_that_kubernetes_sets_for_a_service_called_tessera_are_no_settings() -> None:
    found = load_settings({"TESSERA_PORT": "tcp://10.0.0.1:80", "TESSERA_SERVICE_HOST": "10.0.0.1"})
    assert found.listen == "127.0.0.1:8080"


def test_a_missing_or_broken_file_is_an_error_when_it_was_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings({}, config=tmp_path / "absent.toml")
    with pytest.raises(SettingsError, match="not valid TOML"):
        from_file(tmp_path, "a = = 1")


def test_flags_stand_over_the_environment_and_the_environment_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tessera.toml"
    path.write_text('listen = "127.0.0.1:1"\n[limits]\nimages_max = 1\nredirects_max = 1\n')
    environment = {"TESSERA_LISTEN": "127.0.0.1:2", "TESSERA_LIMITS_IMAGES_MAX": "2", "TESSERA_MEDIA_PORTS": "80, 8080"}
    found = load_settings(environment, config=path, listen="127.0.0.1:3")
    assert (found.port, found.limits.images_max, found.limits.redirects_max) == (3, 2, 1)
    assert found.media.ports == (80, 8080)


def test_paths_in_the_file_are_relative_to_the_file(tmp_path: Path) -> None:
    found = from_file(
        tmp_path, 'data_dir = "state"\n[[provider]]\nname = "a"\nbase_url = "http://h/v1"\ncredential = "file:key"'
    )
    assert found.data_dir == tmp_path / "state"
    assert found.provider[0].credential == f"file:{tmp_path / 'key'}"
    provider = '[[oidc]]\nname = "a"\nissuer = "https://h"\nclient_id = "t"\nclient_secret = "file:secret"\n'
    found = from_file(tmp_path, provider + '[smtp]\npassword = "file:secret"')
    assert found.oidc[0].client_secret == found.smtp.password == f"file:{tmp_path / 'secret'}"


def test_rows_are_read_with_their_types(tmp_path: Path) -> None:
    found = from_file(
        tmp_path,
        """
        [prices]
        discount_percent = "30"
        [[price]]
        model = "my-vlm"
        tier = "batch"
        input = "0.20"
        output = "0.60"
        valid_from = "2026-12-01"
        above = { tokens = 1000, input = "0.40", output = "1.20" }
        """,
    )
    row = found.price[0]
    assert (row.tier, row.input, row.valid_from) == (Tier.BATCH, "0.20", date(2026, 12, 1))
    assert row.above is not None
    assert (row.above.tokens, row.above.output) == (1000, "1.20")
    assert found.prices.discount_percent == "30"


def test_a_public_server_without_mail_or_encryption_is_announced(tmp_path: Path) -> None:
    assert len(notices(from_file(tmp_path, 'public_url = "http://api.example.com"'))) == 2
    assert notices(load_settings({})) == ()


@pytest.mark.parametrize("listen", ["8080", "localhost", "localhost:", ":80", "h:99999", "h:-1", f"h:{'9' * 5000}"])
def test_an_address_to_listen_on_needs_host_and_port(listen: str) -> None:
    with pytest.raises(SettingsError, match="address and a port"):
        split_listen(listen)


def test_an_address_of_version_six_stands_in_brackets() -> None:
    assert split_listen("[::1]:8080") == ("::1", 8080)

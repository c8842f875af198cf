"""What the operator chose: `tessera.toml`, then `TESSERA_*` in the environment, then flags; read once, fully typed.

Always holds: no key is ignored. A key that is not known, has the wrong type or belongs to something this version does
not do is a `SettingsError` that names the key and says what to write instead; the text of a credential is never shown.
"""

from tessera.settings.checks import notices
from tessera.settings.reading import load_settings, setting_names
from tessera.settings.shapes import (
    DeploymentSetting,
    LimitSettings,
    ModelSetting,
    OidcSetting,
    PriceSetting,
    ProviderSetting,
    RateTable,
    Settings,
    SettingsError,
    split_listen,
)

__all__ = [
    "DeploymentSetting",
    "LimitSettings",
    "ModelSetting",
    "OidcSetting",
    "PriceSetting",
    "ProviderSetting",
    "RateTable",
    "Settings",
    "SettingsError",
    "load_settings",
    "notices",
    "setting_names",
    "split_listen",
]

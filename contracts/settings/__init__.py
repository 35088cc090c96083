"""The one settings tree: defaults, then a TOML file, then ``EVERFRESH_…`` environment variables.

``EVERFRESH_WINDOWS__SECONDS=5`` sets ``windows.seconds``. Unknown names and impossible
combinations are refused at load, before anything heavy is imported.
"""

from everfresh.contracts.settings.experiments import ExperimentSettings
from everfresh.contracts.settings.items import ItemSettings
from everfresh.contracts.settings.learning import GateSettings, TrainerSettings
from everfresh.contracts.settings.names import FILE_VARIABLE
from everfresh.contracts.settings.run import RunSettings
from everfresh.contracts.settings.security import SecuritySettings
from everfresh.contracts.settings.serving import (
    MetricsSettings,
    RaySettings,
    ServingSettings,
    TracingSettings,
)
from everfresh.contracts.settings.sources import RegistrySettings, SourceSettings
from everfresh.contracts.settings.stream import (
    EventSettings,
    JoinSettings,
    KafkaSettings,
    StateSettings,
    WindowSettings,
)
from everfresh.contracts.settings.tree import DEFAULT_FILE, Settings, load_settings
from everfresh.contracts.settings.weights import ModelSettings, WeightSettings

__all__ = [
    "DEFAULT_FILE",
    "FILE_VARIABLE",
    "EventSettings",
    "ExperimentSettings",
    "GateSettings",
    "ItemSettings",
    "JoinSettings",
    "KafkaSettings",
    "MetricsSettings",
    "ModelSettings",
    "RaySettings",
    "RegistrySettings",
    "RunSettings",
    "SecuritySettings",
    "ServingSettings",
    "Settings",
    "SourceSettings",
    "StateSettings",
    "TracingSettings",
    "TrainerSettings",
    "WeightSettings",
    "WindowSettings",
    "load_settings",
]

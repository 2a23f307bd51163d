"""`[destinations.NAME]` and its plugin → an `Instance`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from gateway.config import options, values
from gateway.config.defaults import coerced, filled
from gateway.config.events import deny_fields, taken
from gateway.config.faults import Faults, KeyPath, check, hint
from gateway.config.settings import Instance, Secrets

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.plugin.destination import Destination


@dataclass(frozen=True, slots=True)
class Reader:
    """What all destinations of one file are read with."""

    #: Schemas of gateway.toml and of an event.
    config_schema: Mapping[str, Any]
    event_schema: Mapping[str, Any]
    #: The file's folder.
    folder: Path
    #: Keys of the file whose values came from elsewhere.
    interpolated: frozenset[KeyPath]
    faults: Faults

    def instance(self, name: str, table: Mapping[str, Any], plugins: Mapping[str, Destination]) -> Instance | None:
        """One destination; `None` if there was a fault in its table."""
        at = ("destinations", name)
        destination = self._destination(name, table, plugins)
        if destination is None:
            return None
        own, common = destination.config_schema, self._common
        self._check_keys(table, common, own, at)
        if table.get("enabled") is False:
            return None if self.faults.under(*at) else Instance(name=name, destination=destination, enabled=False)
        known = common["properties"]
        mine = self._checked({key: value for key, value in table.items() if key in known}, common, at)
        theirs = self._checked({key: value for key, value in table.items() if key not in known}, own, at)
        if self.faults.under(*at):
            return None
        return self._made(name, destination, mine, theirs)

    @property
    def _common(self) -> Mapping[str, Any]:
        """The schema of the keys that every destination takes."""
        defs = self.config_schema["$defs"]
        return {**defs["destination"], "$defs": defs}

    def _destination(
        self, name: str, table: Mapping[str, Any], plugins: Mapping[str, Destination]
    ) -> Destination | None:
        wanted = table.get("plugin", name)
        if not isinstance(wanted, str) or wanted not in plugins:
            self.faults.add(
                ("destinations", name, "plugin"), f'there is no plugin "{wanted}"{hint(str(wanted), plugins)}'
            )
            return None
        destination = plugins[wanted]
        try:
            Draft202012Validator.check_schema(destination.config_schema)
        except SchemaError as error:
            self.faults.add(("destinations", name), f"the plugin {wanted} has a faulty config schema: {error.message}")
            return None
        return destination

    def _check_keys(
        self, table: Mapping[str, Any], common: Mapping[str, Any], own: Mapping[str, Any], at: KeyPath
    ) -> None:
        known = [*common["properties"], *own.get("properties", ())]
        for key in sorted(common["properties"].keys() & own.get("properties", {}).keys()):
            self.faults.add(at, f"the plugin declares the key {key}, which is the gateway's own")
        for key in table:
            if key not in known:
                self.faults.add((*at, key), f"unknown key{hint(key, known)}")

    def _checked(self, table: Mapping[str, Any], schema: Mapping[str, Any], at: KeyPath) -> dict[str, Any]:
        """The table with its types right and its defaults in; faults are added."""
        depth = len(at)
        here = [path[depth:] for path in self.interpolated if path[:depth] == at and path[depth] in table]
        typed = coerced(table, schema, here)
        check(typed, schema, self.faults, at, self.interpolated)
        for key in schema.get("required", ()):
            if typed.get(key) == "":
                self.faults.add((*at, key), "empty: a value is required")
        result: dict[str, Any] = filled(typed, schema)
        return result

    def _made(
        self, name: str, destination: Destination, mine: Mapping[str, Any], theirs: Mapping[str, Any]
    ) -> Instance | None:
        at, faults = ("destinations", name), self.faults
        private = mine["allow_private"]
        own = self._placed(theirs, destination.config_schema, private, at)
        secret = {key for key, part in destination.config_schema.get("properties", {}).items() if part.get("writeOnly")}
        config = {key: value for key, value in own.items() if key not in secret}
        names = taken(destination, config, mine.get("events"), faults, (*at, "events"))
        if mine["test_mode"]:
            options.check_test_mode(destination, config, faults, (*at, "test_mode"))
        made = Instance(
            name=name,
            destination=destination,
            config=config,
            secrets=Secrets({key: value for key, value in own.items() if key in secret}),
            base_url=self._url(values.base_url, mine["base_url"], private, (*at, "base_url"))
            if "base_url" in mine
            else None,
            allow_private=private,
            names=names.names,
            custom_names=names.custom_names,
            left_out=names.left_out,
            retry=options.times(destination.retry, mine["retry"], faults, (*at, "retry")),
            follow_up=options.follow_up(destination, mine["follow_up"], faults, (*at, "follow_up")),
            deny_fields=deny_fields(mine["fields"], self.event_schema, faults, (*at, "fields")),
            test_mode=mine["test_mode"],
            digests=options.digests(destination, mine["digests"], faults, (*at, "digests")),
            requires=options.requires(destination, mine["consent"], faults, (*at, "consent")),
            on_opt_out=mine["consent"].get("on_opt_out"),
            vendor=options.vendor(mine["consent"]),
            **options.limits(destination, mine, faults, at),
        )
        return None if faults.under(*at) else made

    def _placed(
        self, table: Mapping[str, Any], schema: Mapping[str, Any], allow_private: bool, at: KeyPath
    ) -> dict[str, Any]:
        """The plugin's keys, with URLs checked like `base_url` and files found from the configuration's folder."""
        result = dict(table)
        for key, value in table.items():
            form = schema["properties"][key].get("format")
            if isinstance(value, str) and (form == "uri" or key.endswith("_url")):
                result[key] = self._url(values.url, value, allow_private, (*at, key))
            elif isinstance(value, str) and (form == "path" or key.endswith("_file")):
                result[key] = str(self.folder / value)
        return result

    def _url(self, form: Callable[..., str], text: str, allow_private: bool, at: KeyPath) -> str:
        return values.reading(partial(form, allow_private=allow_private), text, self.faults, at, text)

"""The configuration: what it allows, what it refuses, and how it says so."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from fairlead.server import config
from fairlead.server.config import Config, NodeSection
from fairlead.server.toml import ConfigError

LONG = "a-secret-of-thirty-two-characters"


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config.check(config.parse(text, "fairlead.toml"))
    return str(caught.value)


def test_an_empty_file_is_a_node_on_loopback_with_the_development_keys() -> None:
    parsed = config.parse("", "fairlead.toml")
    config.check(parsed)
    assert parsed.effective_keys == {"devkey": "secret"}
    assert parsed.url == "ws://127.0.0.1:7880"
    assert [parsed.tcp_port, parsed.udp_port, parsed.mesh_port, parsed.cell_port] == [
        7881,
        7882,
        7883,
        7887,
    ]


def test_port_zero_lets_the_system_choose_every_port() -> None:
    parsed = Config(node=NodeSection(port=0))
    assert {parsed.tcp_port, parsed.udp_port, parsed.mesh_port, parsed.cell_port} == {0}


def test_a_configuration_survives_the_way_to_a_child() -> None:
    before = Config(keys={"k": "s"}, emulation=[config.EmulationSection(node=2, delay_ms=8.5)])
    assert config.parse(msgspec.json.encode(before).decode(), "stdin") == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[node]\nid = 1\nprot = 1", ["line 3", "[node]", "'prot'", "may have id, region"]),
        ("nod = 1", ["line 1", "'nod'", "may have node, keys"]),
        ("[[emulation]]\nnode = 2\nlos = 1", ["line 3", "[emulation]", "'los'", "delay_ms"]),
        ('[node]\nport = "x"', ["line 2", "node.port", "expected int"]),
        ('[log]\nlevel = "loud"', ["line 2", "log.level", "'loud'", "'warning'"]),
        ("[node", ["fairlead.toml is not TOML"]),
        ("[node]\nid = 0", ["node.id is 0", "1 to 65535"]),
        ('[node]\nregion = "Jakarta!"', ["node.region", "small letters"]),
        ("[node]\nport = 70000", ["port is 70000"]),
        ("[node]\nmesh_ports = 5", ["node.mesh_ports is 5", "1 to 4"]),
        ('[node]\nbind = "nowhere"', ["'nowhere' is not an IP address"]),
        ("[[emulation]]\nnode = 2\nloss = 5", ["emulation of node 2", "share from 0 to 1"]),
    ],
)
def test_a_mistake_is_named_with_its_place_and_its_remedy(text: str, words: list[str]) -> None:
    sentence = refusal(text)
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.7", "::"])
def test_development_keys_stay_on_loopback(address: str) -> None:
    assert "no API keys" in refusal(f'[node]\nbind = "{address}"')
    told = f'[node]\nbind = "{address}"\naddresses = ["192.0.2.7"]\n'
    assert "too short" in refusal(f'{told}[keys]\nmine = "secret"')
    config.check(config.parse(f'{told}[keys]\nmine = "{LONG}"', "fairlead.toml"))


def test_no_sentence_tells_a_secret() -> None:
    assert "hunter2" not in refusal('[node]\nbind = "192.0.2.7"\n[keys]\nmine = "hunter2"')


def test_the_sample_configuration_is_a_good_one() -> None:
    sample = Path(__file__).parents[3] / "deploy" / "fairlead.toml"
    config.check(config.read(sample))


def test_every_address_needs_one_that_can_be_told() -> None:
    assert "nobody can connect to" in refusal(f'[node]\nbind = "0.0.0.0"\n[keys]\nk = "{LONG}"')


def test_the_documented_configuration_is_the_whole_one() -> None:
    text = (Path(__file__).parents[3] / "docs" / "config.md").read_text()
    example = text.split("```toml\n")[1].split("```")[0]
    documented = msgspec.to_builtins(config.parse(example.replace('"..."', f'"{LONG}"'), "doc"))
    assert documented.keys() == {field.name for field in msgspec.structs.fields(Config)}
    for field in msgspec.structs.fields(Config):
        inner = getattr(field.type, "__args__", (field.type,))[0]
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            for key in msgspec.structs.fields(inner):
                named = (f"{key.name} = ", f"[[{field.name}.{key.name}]]")
                assert any(words in example for words in named), (
                    f"{field.name}.{key.name} is not documented"
                )


def test_rules_on_where_rooms_may_be() -> None:
    text = '[[rooms]]\nmatch = "kyc-*"\nregions = ["singapore", "jakarta"]\n'
    parsed = config.parse(text, "fairlead.toml")
    config.check(parsed)
    assert [(rule.match, sorted(rule.regions)) for rule in parsed.rules] == [
        ("kyc-*", ["jakarta", "singapore"])
    ]
    assert refusal('[[rooms]]\nmatch = "kyc-*"\nregions = []').startswith(
        "[[rooms]] for 'kyc-*': regions is empty"
    )
    assert "'Jakarta', which is no region" in refusal(
        '[[rooms]]\nmatch = "kyc-*"\nregions = ["Jakarta"]'
    )
    assert "empty match" in refusal('[[rooms]]\nmatch = ""\nregions = ["jakarta"]')
    assert "has no key 'region'" in refusal('[[rooms]]\nmatch = "a"\nregion = ["jakarta"]')


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[scenes.a]\naudio_top = 3\n[scenes.b]\naudio_top = 99\n",
            "fairlead.toml, line 4: scenes.b.audio_top: expected int <= 50",
        ),
        ("[scenes.a]\nspeech_repeats = 0", "line 2: scenes.a.speech_repeats: expected int >= 1"),
        ("[scenes.a]\naudiotop = 3\n", "line 2: [scenes.a] has no key 'audiotop'; it may have"),
        (
            '[scenes.a]\nvideo_copies = "some"\n',
            "line 2: scenes.a.video_copies: invalid enum value 'some'; "
            "it may be 'never', 'base', 'always'",
        ),
        ("[scenes.a]\nplayout_ms = [400]\n", "scenes.a: playout_ms is [400]: give the least"),
        ("[scenes.a]\nplayout_ms = [400, 1]\n", "scenes.a: playout_ms is [400, 1]: give"),
        ('[scenes.a]\nlike = "b"\n', "[scenes]: scene 'a' is like 'b', which no packaged scene is"),
        ("[scenes]\na = 1\n", "line 2: scenes.a: expected object, got int"),
    ],
)
def test_a_scene_that_can_not_be_is_named_with_its_line(text: str, words: str) -> None:
    assert words in refusal(text)


def test_an_operators_scenes_are_known_beside_the_packaged_ones() -> None:
    parsed = config.parse("[scenes.quiz]\naudio_top = 1\n", "fairlead.toml")
    config.check(parsed)
    assert parsed.known_scenes["quiz"].audio_top == 1
    assert "chat_room" in parsed.known_scenes

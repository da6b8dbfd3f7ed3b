"""The logits of a network, from shapes."""

import pytest

pytest.importorskip('mmseg')

from mmengine.registry import MODELS, DefaultScope
from mmseg.models.decode_heads import FCNHead

import mmseg_recall.check.network as network_module
from mmseg_recall.check import build_network
from mmseg_recall.check.network import Logits
from tests.toy_runner import toy_config

SCOPE = 'mmseg'
CROSS_ENTROPY = dict(type='CrossEntropyLoss')


@pytest.fixture(autouse=True)
def mmseg_scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def test_shapes_without_arithmetic(tmp_path):
    network = build_network(toy_config(tmp_path, CROSS_ENTROPY))
    network.find_logits((32, 48))
    assert network.logits == [Logits('decode_head', (10, 1, 2), (32, 48))]
    assert network.stride == 24
    assert {parameter.device.type for parameter in network.model.parameters()} == {'meta'}


def test_an_operation_that_needs_values_runs_on_the_cpu(tmp_path):
    @MODELS.register_module(force=True)
    class HeadThatLooks(FCNHead):
        def forward(self, inputs):
            logits = super().forward(inputs)
            return logits if logits.sum().item() < 1e9 else None

    cfg = toy_config(tmp_path, CROSS_ENTROPY, **{'model.decode_head.type': 'HeadThatLooks'})
    network = build_network(cfg)
    network.find_logits((32, 48))
    assert network.stride == 24
    assert {parameter.device.type for parameter in network.model.parameters()} == {'cpu'}


def test_a_forward_pass_that_fails_is_said(tmp_path, monkeypatch):
    def fails(*args):
        raise RuntimeError('no such operation\nand more')

    monkeypatch.setattr(network_module, '_logits', fails)
    network = build_network(toy_config(tmp_path, CROSS_ENTROPY))
    network.find_logits((32, 48))
    assert (network.logits, network.stride) == ([], None)
    assert network.why_no_logits == 'RuntimeError: no such operation'


def test_megabytes():
    logits = Logits('decode_head', (16, 32, 64), (256, 512))
    assert logits.megabytes(2, upsampled=True) == 16
    assert logits.megabytes(2, upsampled=False) == 0.25

"""``tools/model_converters/tau_normalize.py`` from an empty folder."""

import re
import runpy
import sys

import pytest
import torch

from tests.test_tools.paths import TOOLS

TOOL = TOOLS / 'model_converters/tau_normalize.py'
# Norms 5, 2 and 0.
WEIGHT = torch.tensor([[3.0, 4.0], [0.0, -2.0], [0.0, 0.0]])


@pytest.fixture
def checkpoint(tmp_path):
    weights = {
        'backbone.conv.weight': torch.randn(2, 2, 1, 1),
        'head.fc.weight': WEIGHT,
        'head.fc.bias': torch.ones(3),
        'head.old_fc.weight': WEIGHT,
    }
    content = dict(meta=dict(epoch=3), state_dict=weights, optimizer=dict(state={}))
    torch.save(content, tmp_path / 'model.pth')
    return content


@pytest.fixture
def convert(tmp_path, monkeypatch, capsys):
    """Run the tool, as if from a folder of its own; gives what it printed."""

    def run_tool(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', [str(TOOL), 'model.pth', *map(str, arguments)])
        runpy.run_path(str(TOOL), run_name='__main__')
        return capsys.readouterr().out

    return run_tool


def converted(path):
    return torch.load(path, map_location='cpu', weights_only=False)


@pytest.mark.parametrize('tau', [0, 0.5, 1, 2])
def test_weights(convert, tmp_path, checkpoint, tau):
    output = convert('new/tau.pth', '--tau', tau)
    assert f'Written: new/tau.pth (tau={tau}, 3 classes)' in output
    new = converted(tmp_path / 'new/tau.pth')
    assert sorted(new) == ['meta', 'state_dict'] and new['meta'] == checkpoint['meta']
    new, old = new['state_dict'], checkpoint['state_dict']
    expected = WEIGHT / torch.tensor([[5.0**tau], [2.0**tau], [1.0]])
    torch.testing.assert_close(new['head.fc.weight'], expected)
    assert torch.equal(new['head.fc.bias'], torch.zeros(3))
    for name in ('backbone.conv.weight', 'head.old_fc.weight'):
        assert torch.equal(new[name], old[name])


def test_another_layer_without_bias_as_a_user_does(run, tmp_path, checkpoint):
    run(sys.executable, TOOL, 'model.pth', 'tau.pth', '--layer', 'head.old_fc')
    new = converted(tmp_path / 'tau.pth')['state_dict']
    assert new['head.old_fc.weight'].norm(dim=1).tolist() == pytest.approx([1, 1, 0])
    assert torch.equal(new['head.fc.bias'], torch.ones(3))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--layer', 'fc'], "--layer must name a linear layer of the checkpoint, but got 'fc'. It"),
        (['--layer', 'backbone.conv'], 'has head.fc, head.old_fc'),
        (['--tau', '-1'], '--tau must be in [0, inf), but got -1.0'),
    ],
)
def test_wrong_arguments(convert, tmp_path, checkpoint, arguments, message, says):
    with says(re.escape(message)):
        convert('tau.pth', *arguments)
    assert not (tmp_path / 'tau.pth').exists()


def test_code_in_a_checkpoint_does_not_run(convert, tmp_path, says):
    class Attack:
        def __reduce__(self):
            return exec, (f'open({str(tmp_path / "ran")!r}, "w")',)

    torch.save(dict(state_dict={'head.fc.weight': WEIGHT}, extra=Attack()), tmp_path / 'model.pth')
    with says(r'^tau_normalize.py: model\.pth holds a .*exec, which torch .* cannot load safely'):
        convert('tau.pth')
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04 cut off'])
def test_damaged_checkpoint(convert, tmp_path, says, content):
    (tmp_path / 'model.pth').write_bytes(content)
    with says(r'^tau_normalize.py: model\.pth cannot be read: expected a checkpoint, but got'):
        convert('tau.pth')

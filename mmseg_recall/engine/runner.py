"""Running a config on whatever the machine has: MMEngine's own runner assumes GPUs in places."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Callable
from contextlib import contextmanager

import torch
from mmengine.dataset import Compose
from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS, RUNNERS
from mmengine.runner import Runner
from torch import distributed, nn
from torch.utils.data import DataLoader

from ..files import reading


@RUNNERS.register_module()
class AnyDeviceRunner(Runner):
    """MMEngine's runner, which can also run several processes on CPU.

    An image or label map that cannot be read is named by an ``InputError``. Apart from that, it is
    MMEngine's runner unchanged with an accelerator, or in a single process. Otherwise the
    processes talk through gloo in place of NCCL, the model is wrapped without device ids, and
    synchronised batch norm, which is GPU only, becomes plain batch norm (as MMEngine does in a
    single process).

    A config asks for it by ``runner_type='AnyDeviceRunner'``; MMSegmentation's and MMPretrain's
    own ``tools/train.py`` follow that.
    """

    def setup_env(self, env_cfg: dict) -> None:
        """Set up the environment; join the other processes through gloo on CPU."""
        if self._on_cpus and not is_distributed():
            # The launcher's environment variables say who the others are.
            distributed.init_process_group('gloo')
            atexit.register(_leave_group)
        super().setup_env(env_cfg)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Wrap the model for several processes, on CPU without device ids."""
        if self._on_cpus:
            model = revert_sync_batchnorm(model)
            model_wrapper_cfg = {
                'broadcast_buffers': False,
                'find_unused_parameters': self.cfg.get('find_unused_parameters', False),
                **(model_wrapper_cfg or {}),
                'device_ids': None,
            }
        return super().wrap_model(model_wrapper_cfg, model)

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """Build a data loader whose errors name the file that cannot be read."""
        loader = Runner.build_dataloader(dataloader, seed, diff_rank_seed)
        _name_files(loader.dataset)
        return loader

    @property
    def _on_cpus(self) -> bool:
        return self.distributed and get_device() == 'cpu'


def _leave_group() -> None:
    """End gloo's threads before the interpreter ends: it aborts where one is still running.

    They end with the last that holds the group: the wrapped model, in cycles of the runner.
    """
    if distributed.is_initialized():
        distributed.destroy_process_group()
        gc.collect()


def _name_files(dataset) -> None:
    """Let the errors of a dataset's loading transforms, those named ``Load...``, name the file.

    Args:
        dataset: A dataset of MMEngine's kind, or wrappers around some.
    """
    for inner in (*getattr(dataset, 'datasets', ()), getattr(dataset, 'dataset', None)):
        if inner is not None:
            _name_files(inner)
    pipeline = getattr(dataset, 'pipeline', None)
    if isinstance(pipeline, Compose):
        dataset.pipeline = _NamingPipeline(pipeline.transforms)


class _NamingPipeline(Compose):
    def __call__(self, data: dict) -> dict | None:
        for transform in self.transforms:
            data = self._apply(transform, data)
            if data is None:
                return None
        return data

    @staticmethod
    def _apply(transform: Callable, data: dict) -> dict | None:
        name = type(transform).__name__
        if not name.startswith('Load'):
            return transform(data)
        expected = 'an image' if 'Image' in name else 'a label map'
        labels = data.get('seg_map_path') if expected == 'a label map' else None
        with reading(labels or data.get('img_path', 'the sample'), expected):
            return transform(data)


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Mixed precision on CPU: autocast to bfloat16, whose range needs no loss scaling.

    What ``AmpOptimWrapper``, which insists on a GPU, is to GPUs.
    """

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Run the forward pass under autocast."""
        with super().optim_context(model), torch.autocast('cpu', dtype=torch.bfloat16):
            yield

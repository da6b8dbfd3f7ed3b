# Larger and with less noise than toy_streets.py, so that people and signs have outlines to find.
_base_ = ['./toy_streets.py']
scenes = dict(size=(288, 192), noise=0.3)  # width, height

train_dataloader = dict(dataset=scenes)
val_dataloader = dict(dataset=scenes)
test_dataloader = val_dataloader

# The recall loss paper keeps the hardest 70 % (Sec. 4.2).
loss = dict(_delete_=True, type='OHEMLoss', keep_ratio=0.7)

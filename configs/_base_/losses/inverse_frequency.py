loss = dict(_delete_=True, type='InverseFrequencyLoss')

loss = dict(_delete_=True, type='LDAMLoss', class_counts='auto')

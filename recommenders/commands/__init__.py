"""The commands that advise, train and fine-tune.

Heavy imports wait inside the commands, so that `headstart --help` is quick.
"""

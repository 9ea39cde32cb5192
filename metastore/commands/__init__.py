"""The commands that need the store alone, and what all commands share; typer comes along.

Heavy imports wait inside the commands, so that `headstart --help` is quick.
"""

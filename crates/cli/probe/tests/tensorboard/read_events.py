"""Prints every scalar under a folder of event files, as TensorBoard itself reads them.

One JSON object: run (a folder) -> tag -> list of [step, value].
"""
import json
import sys

from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

multiplexer = EventMultiplexer().AddRunsFromDirectory(sys.argv[1])
multiplexer.Reload()
scalars = {
    run: {
        tag: [[event.step, event.value] for event in multiplexer.Scalars(run, tag)]
        for tag in tags["scalars"]
    }
    for run, tags in multiplexer.Runs().items()
}
print(json.dumps(scalars))

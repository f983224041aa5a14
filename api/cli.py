"""The `crowdrun` command: a table of subcommands, each imported only when it is called.

`crowdrun --help` imports none of them, so that the shell answers at once; `crowdrun NAME` imports the module of NAME
and takes its object `command`. Adding one = one file in `commands/` and one row here.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version

import click

from crowdrun.data.errors import CrowdrunError

#: Exit status after Ctrl-C and after the reader of our output went away: 128 + the signal, as shells count.
INTERRUPTED, BROKEN_PIPE = 130, 141

#: Subcommand -> the module that holds its `command`, and one line of help.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "config": ("crowdrun.api.commands.config", "Show each setting and where its value came from."),
    "convert": ("crowdrun.api.commands.convert", "Rewrite a scheduler log in the canonical columns."),
    "inspect": ("crowdrun.api.commands.inspect", "Say what a log holds and what can be learnt from it."),
    "ingest": ("crowdrun.api.commands.ingest", "Put a scheduler log into the job history."),
    "backtest": ("crowdrun.api.commands.backtest", "Replay a log in time order and judge the crowd on it."),
    "bench": ("crowdrun.api.commands.bench", "Compare the crowd with published methods, and ways of training."),
    "retrain": ("crowdrun.api.commands.retrain", "Fit the crowd on the job history and publish it."),
    "models": ("crowdrun.api.commands.models", "List, show, activate, roll back and prune published models."),
    "predict": ("crowdrun.api.commands.predict", "Say what a job needs before it is submitted."),
    "estimate": ("crowdrun.api.commands.estimate", "Say what a training step needs of a GPU's memory, without a GPU."),
    "token": ("crowdrun.api.commands.token", "Make, list and revoke tokens for the service."),
    "forget": ("crowdrun.api.commands.forget", "Remove a person from the job history and from the models."),
    "slurm": ("crowdrun.api.commands.slurm", "Collect what ended in Slurm; advise every submission of a site."),
    "serve": ("crowdrun.api.commands.serve", "Serve predictions over REST."),
    "plan": ("crowdrun.api.commands.plan", "Say what a run would be given, and why; start nothing."),
    "run": ("crowdrun.api.commands.run", "Run a training job with what the crowd recommends, and measure it."),
    "runs": ("crowdrun.api.commands.runs", "List what was run, and tell the story of one run."),
    "demo": ("crowdrun.api.commands.demo", "Show the whole loop on a real log."),
}


class LazyGroup(click.Group):
    """A group whose subcommands are imported when they are called, not when they are listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("crowdrun"), prog_name="crowdrun")
def crowdrun() -> None:
    """Learn from a cluster's own scheduler log what deep-learning jobs need, and say so before they are submitted."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 an error of ours in one line, 2 a usage error.

    A command may return an integer to exit with (`crowdrun run` passes on the status of the job).
    """
    sys.exit(_exit_status(arguments))


def _exit_status(arguments: Sequence[str] | None) -> int:
    try:
        result = crowdrun.main(args=arguments, prog_name="crowdrun", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("crowdrun: interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at exit, which would fail with a traceback (docs of SIGPIPE, `signal`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except CrowdrunError as error:
        click.echo(f"crowdrun: {error}", err=True)
        return 1
    return result if isinstance(result, int) else 0

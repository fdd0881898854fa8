import click


@click.command()
@click.option("--count", default=1)
def climb(count):
    for step in range(count):
        click.echo(f"camp {step + 1}")


climb()

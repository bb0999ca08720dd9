from tests.projects import Built


def test_x(toy: Built) -> None:
    print(toy.ended.stdout, toy.ended.stderr)
    print(toy.report)

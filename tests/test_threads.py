"""One pipeline called from several threads gives what it gives in one."""

from concurrent.futures import ThreadPoolExecutor

from pipelines import TEXTS, found

pytest_plugins = ["pipeline_fixtures"]


def test_threads_share_a_pipeline(taught):
    texts = [text + " Rome." * (i % 3) for i, text in enumerate(TEXTS * 6)]
    alone = [found(taught(text)) for text in texts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: found(taught(text)), texts))
    assert together == alone
    assert any(alone)

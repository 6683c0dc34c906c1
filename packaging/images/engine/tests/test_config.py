"""What the environment may say."""

import tempfile
import unittest
from pathlib import Path

from ragengine import config
from ragengine.errors import BAD_CONFIG, EngineError


class Loading(unittest.TestCase):
    def refused(self, pattern: str, **env: str) -> None:
        with self.assertRaisesRegex(EngineError, pattern) as caught:
            config.load(env)
        self.assertEqual(caught.exception.code, BAD_CONFIG)

    def test_nothing_set_is_the_offline_provider(self) -> None:
        settings = config.load({})
        self.assertTrue(settings.offline)
        self.assertEqual((settings.embedding_model, settings.embedding_dim), ("all-MiniLM-L6-v2", 384))
        self.assertEqual(settings.batch_size, 10)

    def test_offline_ignores_models_of_other_providers(self) -> None:
        settings = config.load({"EMBEDDING_MODEL": "text-embedding-3-small", "EMBEDDING_DIM": "1536"})
        self.assertEqual(settings.embedding_dim, 384)

    def test_bad_numbers_name_their_variable(self) -> None:
        self.refused("BATCH_SIZE is 'ten'", BATCH_SIZE="ten")
        self.refused("BATCH_SIZE is 0", BATCH_SIZE="0")
        self.refused("POSTGRES_PORT", POSTGRES_PORT="70000")
        self.refused("TOP_K is 'many'", TOP_K="many")
        self.refused("COSINE_THRESHOLD", COSINE_THRESHOLD="high")

    def test_what_a_provider_needs(self) -> None:
        self.refused("not one of", RAGPOD_PROVIDER="clippy")
        self.refused("EMBEDDING_MODEL is not set", RAGPOD_PROVIDER="openai")
        models = {"LLM_MODEL": "m", "EMBEDDING_MODEL": "text-embedding-3-small"}
        self.refused("API_BASE is not set", RAGPOD_PROVIDER="azure", **models)
        self.assertEqual(config.load({"RAGPOD_PROVIDER": "openai", **models}).embedding_dim, 1536)
        models["EMBEDDING_MODEL"] = "unheard-of"
        self.refused("EMBEDDING_DIM is not set", RAGPOD_PROVIDER="openai", **models)

    def test_database_names(self) -> None:
        self.assertEqual(config.load({"POSTGRES_DB": "a"}).database, "a")
        self.assertEqual(config.load({"POSTGRES_DB": "a", "POSTGRES_DATABASE": "b"}).database, "b")

    def test_secrets(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "password"
            path.write_text("  s3cret \n")
            settings = config.load({"POSTGRES_PASSWORD_FILE": str(path)})
            self.assertEqual(settings.password(), "  s3cret ")
            path.write_text("\n")
            with self.assertRaisesRegex(EngineError, "is empty"):
                settings.password()
            path.unlink()
            with self.assertRaisesRegex(EngineError, "POSTGRES_PASSWORD_FILE"):
                settings.password()


if __name__ == "__main__":
    unittest.main()

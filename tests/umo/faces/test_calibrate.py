import torch
from torch.nn import functional as F

from umo.data.schema import Sample
from umo.faces.calibrate import Person, calibrate, shrunk_mean
from umo.faces.embed import FaceEmbedder
from umo.faces.packs import ARCFACE_TEMPLATE, FacePack


def test_every_kind_of_picture_is_centred(pack: FacePack, samples: list[Sample]) -> None:
    people = []
    for sample in samples:
        for name, reference in zip(sample.identities, sample.references, strict=True):
            image = torch.from_numpy(reference.copy())
            (faces,) = pack.detector.detect(image[None])
            pixels = image.permute(2, 0, 1)
            people += [Person(name=name, image=pixels, landmarks=faces.landmarks)] * 2
    plain = FaceEmbedder(
        pack.reward.network,
        size=112,
        template=torch.tensor(ARCFACE_TEMPLATE),
        mean=torch.zeros(512),
        directions=torch.zeros(0, 512),
    )
    darker = [
        Person(name=person.name, image=person.image // 2, landmarks=person.landmarks)
        for person in people
    ]
    measured = calibrate(plain, people, darker)
    product = measured.directions @ measured.directions.T
    torch.testing.assert_close(product, torch.eye(2), atol=1e-5, rtol=0)
    assert set(measured.kinds) == {"photograph", "grey photograph", "rendered"}
    for kind in measured.kinds.values():
        assert kind.faces == len(people)
        assert kind.same > 0.99
        assert abs(kind.different) < 0.35


def test_the_mean_of_unrelated_people_is_shrunk_to_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    people = F.normalize(torch.randn(10, 512, generator=generator))
    common = F.normalize(people + 1)
    index = torch.arange(10)
    assert shrunk_mean(people, index).norm() < 0.3 * people.mean(dim=0).norm()
    torch.testing.assert_close(shrunk_mean(common, index), common.mean(dim=0), rtol=0.02, atol=1e-3)

"""The register's records: made from a fixed seed, so every copy of the site is the same."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

SEED = 20250821
STANDARDS, CERTIFIERS, CENTRES = 150, 36, 60

SECTORS = (
    "Agrícola y pecuario", "Comercio", "Construcción", "Educación y formación", "Energía eléctrica", "Logística",
    "Minería", "Petróleo y gas", "Prendas de vestir", "Procesamiento de alimentos", "Tecnologías de la información",
    "Turismo",
)  # fmt: skip
STATES = (
    "Aguascalientes", "Baja California", "Chiapas", "Ciudad de México", "Guanajuato", "Jalisco", "Nuevo León",
    "Oaxaca", "Puebla", "Querétaro", "Veracruz", "Yucatán",
)  # fmt: skip
TOWNS = ("Centro", "El Rosario", "La Paz", "Las Palmas", "San Juan", "San Miguel", "Santa Ana", "Valle Verde")
VERBS = ("Atención", "Coordinación", "Diseño", "Evaluación", "Impartición", "Instalación", "Mantenimiento", "Operación")
OBJECTS = (
    "de cursos presenciales", "de equipos de bombeo", "de huertos familiares", "de instalaciones eléctricas",
    "de maquinaria pesada", "de redes de datos", "de sistemas de riego", "de sistemas fotovoltaicos",
    "de ventas por catálogo", "del servicio de alimentos",
)  # fmt: skip


@dataclass(frozen=True)
class Standard:
    code: str
    title: str
    sector: str
    level: int
    committee: str
    published_on: date
    status: str


@dataclass(frozen=True)
class Certifier:
    code: str
    name: str
    kind: str
    state: str
    email: str
    standards: int


@dataclass(frozen=True)
class Centre:
    code: str
    name: str
    certifier_code: str
    state: str
    municipality: str


@dataclass(frozen=True)
class Register:
    standards: dict[str, Standard]
    certifiers: dict[str, Certifier]
    centres: dict[str, Centre]


@cache
def register() -> Register:
    """The whole register: 150 standards, 36 certifiers, 60 evaluation centres in 12 sectors."""
    dice = random.Random(SEED)
    standards = [
        Standard(
            code=f"EC{number:04d}",
            title=f"{dice.choice(VERBS)} {dice.choice(OBJECTS)} {number}",
            sector=dice.choice(SECTORS),
            level=dice.randint(1, 5),
            committee=f"Comité de {dice.choice(SECTORS)}",
            published_on=date(2012, 1, 1) + timedelta(days=dice.randint(0, 4700)),
            status=dice.choices(("Vigente", "En revisión"), (9, 1))[0],
        )
        for number in range(1, STANDARDS + 1)
    ]
    certifiers = [
        Certifier(
            code=f"ECE{number:03d}",
            name=f"Entidad Certificadora {dice.choice(STATES)} {number}",
            kind=dice.choice(("ECE", "OC")),
            state=dice.choice(STATES),
            email=f"contacto{number}@certificador.example",
            standards=dice.randint(3, 40),
        )
        for number in range(1, CERTIFIERS + 1)
    ]
    centres = [
        Centre(
            code=f"CE{number:04d}",
            name=f"Centro de Evaluación {dice.choice(TOWNS)} {number}",
            certifier_code=dice.choice(certifiers).code,
            state=dice.choice(STATES),
            municipality=dice.choice(TOWNS),
        )
        for number in range(1, CENTRES + 1)
    ]
    return Register(*({item.code: item for item in group} for group in (standards, certifiers, centres)))  # type: ignore[arg-type]

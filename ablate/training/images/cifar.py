"""CIFAR's files. Apart from the other sources, because torchvision takes a second to import."""

from typing import ClassVar

from torchvision import datasets


# torchvision refuses extracted files with an unknown MD5, with the same message as for missing files. Here a repacked
# copy or a subset is fine, since each run records a checksum of what it read. So these readers only need the files
# to exist. A downloaded archive is still checked against `tgz_md5`.
class Cifar10(datasets.CIFAR10):
    train_list: ClassVar = [[name, None] for name, _ in datasets.CIFAR10.train_list]
    test_list: ClassVar = [[name, None] for name, _ in datasets.CIFAR10.test_list]
    meta: ClassVar = datasets.CIFAR10.meta | {"md5": None}


class Cifar100(datasets.CIFAR100):
    train_list: ClassVar = [[name, None] for name, _ in datasets.CIFAR100.train_list]
    test_list: ClassVar = [[name, None] for name, _ in datasets.CIFAR100.test_list]
    meta: ClassVar = datasets.CIFAR100.meta | {"md5": None}

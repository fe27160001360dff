"""Each fault of a description by its line, its key, and what is allowed instead."""

import pytest

from memhp.core.errors import DescriptionError
from memhp.model.description import parse_description

NODE = '[[node]]\nmemory = "4G"\n'
DIMM = '[[dimm]]\nsize = "1G"\n'

FAULTS = {
    "no-toml": (
        "about = \n",
        "m.toml, line 1: this is no TOML: invalid value; "
        "write key = value, text in quotes, [table] or [[list of tables]]; see toml.io",
    ),
    "unfinished": (
        NODE + "[layout",
        "m.toml, line 3: this is no TOML: expected ']' at the end of a table declaration; "
        "write key = value, text in quotes, [table] or [[list of tables]]; see toml.io",
    ),
    "key-twice": (
        NODE + 'memory = "2G"\n',
        "m.toml, line 3: this is no TOML: cannot overwrite a value; "
        "write key = value, text in quotes, [table] or [[list of tables]]; see toml.io",
    ),
    "empty": (
        "",
        "m.toml: describes 0 nodes; give 1 to 64 tables [[node]]; the first is node 0",
    ),
    "unknown-key": (
        NODE + 'memroy = "4G"\n',
        "m.toml, line 3: 'node[0].memroy' is not known; did you mean 'memory'? "
        "known here: memory, ranges, cpus, hotpluggable, mirrored",
    ),
    "unknown-table": (
        NODE + "[layuot]\n",
        "m.toml, line 3: 'layuot' is not known; did you mean 'layout'? known here: name, about, "
        "kernel, command_line, hypervisor, block_size, node, distances, dimm_slots, dimm, "
        "virtio_mem, layout, proposals, failures, workload, guests",
    ),
    "a-number-for-a-size": (
        "# the amount\n[[node]]\nmemory = 4\n",
        "m.toml, line 3: 'node[0].memory' is 4; "
        'give a size with its unit in quotes, as "4G" or "512MiB"',
    ),
    "bad-size": (
        '[[node]]\nmemory = "4Q"\n',
        "m.toml, line 2: 'node[0].memory' is \"4Q\"; "
        'give a size with its unit in quotes, as "4G" or "512MiB"',
    ),
    "odd-size": (
        '[[node]]\nmemory = "1025M"\n',
        "m.toml, line 2: 'node[0].memory' is \"1025M\"; give a multiple of 2M",
    ),
    "size-beyond-x86": (
        '[[node]]\nmemory = "65T"\n',
        "m.toml, line 2: 'node[0].memory' is \"65T\"; x86-64 reaches 64T at most",
    ),
    "truth-as-number": (
        '[[node]]\nmemory = "4G"\ncpus = true\n',
        "m.toml, line 3: 'node[0].cpus' is true; give a whole number from 0 to 8192",
    ),
    "number-as-truth": (
        NODE + "hotpluggable = 1\n",
        "m.toml, line 3: 'node[0].hotpluggable' is 1; give true or false",
    ),
    "one-bracket-too-few": (
        '[node]\nmemory = "4G"\n',
        "m.toml, line 1: 'node' is a table; give a list of tables, each begun with [[node]]",
    ),
    "kernel-as-number": (
        "kernel = 6.12\n" + NODE,
        'm.toml, line 1: \'kernel\' is 6.12; give "6.12" or "6.1" or "3.9" or "3.8" or "3.2"',
    ),
    "unknown-kernel": (
        'kernel = "6.11"\n' + NODE,
        "m.toml, line 1: 'kernel' is \"6.11\"; did you mean '6.1'? "
        'give "6.12" or "6.1" or "3.9" or "3.8" or "3.2"',
    ),
    "block-size-no-power": (
        'block_size = "192M"\n' + NODE,
        "m.toml, line 1: 'block_size' is 192M; "
        "give a power of two from 128M to 64G, or leave it to the kernel's rule",
    ),
    "block-size-too-small": (
        'block_size = "64M"\n' + NODE,
        "m.toml, line 1: 'block_size' is 64M; "
        "give a power of two from 128M to 64G, or leave it to the kernel's rule",
    ),
    "distances-of-other-nodes": (
        "distances = [[10, 20], [20, 10]]\n" + NODE,
        "m.toml, line 1: 'distances' does not fit the nodes; give 1 rows of 1 numbers",
    ),
    "impossible-distance": (
        "distances = [[10, 9], [20, 10]]\n" + NODE + NODE,
        "m.toml, line 1: 'distances' has an impossible one from node 0 to node 1; "
        "give 10 from a node to itself, 11 to 254 else",
    ),
    "distances-no-numbers": (
        'distances = [\n  [10, 20],\n  [20, "x"],\n]\n' + NODE + NODE,
        "m.toml, line 3: 'distances[1]' is no row of numbers; give rows as [10, 20]",
    ),
    "no-processor": (
        NODE + "cpus = 0\n",
        "m.toml, line 1: 'node' has no processor anywhere; give one of them cpus = 1",
    ),
    "node-with-nothing": (
        NODE + "[[node]]\ncpus = 0\n" + NODE,
        "m.toml, line 3: 'node[1]' is a node with nothing in it; "
        "give it memory, cpus, or a device whose node it is",
    ),
    "memory-and-ranges": (
        NODE + 'ranges = ["0x0-0xfffffff"]\n',
        "m.toml, line 3: 'node[0].ranges' stands beside 'memory'; give one of the two",
    ),
    "ranges-here-memory-there": (
        NODE + '[[node]]\nranges = ["0x0-0xfffffff"]\n',
        "m.toml, line 2: 'node[0].memory' stands where other nodes have 'ranges'; "
        "give every node the same one",
    ),
    "ranges-overlap": (
        '[[node]]\nranges = ["0x0-0x3fffffff"]\n[[node]]\nranges = ["0x30000000-0x4fffffff"]\n',
        "m.toml, line 4: 'node[1].ranges' 0x30000000-0x4fffffff overlaps 0x0-0x3fffffff; "
        "give each address once",
    ),
    "range-of-half-a-page": (
        '[[node]]\nranges = [\n  "0x0-0x3fffffff",\n  "0x100000000-0x100000100",\n]\n',
        "m.toml, line 4: 'node[0].ranges[1]' is \"0x100000000-0x100000100\"; give whole pages as "
        'first and last byte, as "0x100000000-0x17fffffff", below 0x400000000000',
    ),
    "mirrored-more-than-there-is": (
        NODE + 'mirrored = "6G"\n',
        "m.toml, line 3: 'node[0].mirrored' is 6G; the node has 4G at boot",
    ),
    "no-such-node": (
        NODE + DIMM + "node = 1\n",
        "m.toml, line 5: 'dimm[0].node' is 1, which is not described; there is node 0 alone",
    ),
    "dimm-without-size": (
        NODE + "[[dimm]]\nnode = 0\n",
        "m.toml, line 3: 'dimm[0]' has no 'size'; "
        'give size: a size with its unit in quotes, as "4G" or "512MiB"',
    ),
    "too-few-slots": (
        "dimm_slots = 1\n" + NODE + DIMM + DIMM,
        "m.toml, line 1: 'dimm_slots' is 1; there are 2 tables [[dimm]], and each has a slot",
    ),
    "too-many-slots": (
        "dimm_slots = 257\n" + NODE,
        "m.toml, line 1: 'dimm_slots' is 257; give a whole number from 0 to 256",
    ),
    "more-dimms-than-acpi-has": (
        NODE + DIMM * 257,
        "m.toml, line 3: 'dimm' has too many slots; give 256 tables at most",
    ),
    "name-twice": (
        NODE + DIMM + DIMM + 'name = "dimm0"\n',
        "m.toml, line 7: 'dimm[1].name' gives the name 'dimm0' twice; "
        "give every device its own name",
    ),
    "name-that-is-a-block": (
        NODE + DIMM + 'name = "memory3"\n',
        "m.toml, line 5: 'dimm[0].name' 'memory3' means something else to memhp; give letters, "
        "digits and _.:- after a letter, as dimm0, and nothing like memory3",
    ),
    "dimm-in-boot-memory": (
        NODE + DIMM + 'address = "0x100000000"\n',
        "m.toml, line 5: 'dimm[0].address' is 0x100000000; "
        "give a multiple of 2M behind boot memory, from 0x140000000 on",
    ),
    "dimms-overlap": (
        NODE + DIMM + 'address = "0x180000000"\n' + DIMM + 'address = "0x190000000"\n',
        "m.toml, line 8: 'dimm[1].address' 0x190000000-0x1cfffffff overlaps "
        "0x180000000-0x1bfffffff; give each address once",
    ),
    "no-room-for-devices": (
        NODE + '[[dimm]]\nsize = "64T"\n',
        "m.toml, line 4: 'dimm[0].size' makes it end at 0x400140000000; "
        "x86-64 reaches 0x400000000000 at most",
    ),
    "hotplug-space": (
        NODE + DIMM + '[layout]\nhotplug_space = "512M"\n',
        "m.toml, line 6: 'layout.hotplug_space' is 512M; "
        "devices take 0x40000000 bytes, and 0x3ffec0000000 are left behind boot memory",
    ),
    "virtio-mem-not-in-blocks": (
        NODE + '[[virtio_mem]]\nsize = "100M"\n',
        "m.toml, line 4: 'virtio_mem[0].size' is \"100M\"; give a multiple of 128M",
    ),
    "virtio-mem-asks-too-much": (
        NODE + '[[virtio_mem]]\nsize = "1G"\nrequested = "2G"\n',
        "m.toml, line 5: 'virtio_mem[0].requested' is 2G; the device has 1G",
    ),
    "too-little-memory": (
        '[[node]]\nmemory = "128M"\n',
        "m.toml, line 1: 'node' leaves 128M of memory at boot; a kernel needs 256M",
    ),
    "little-memory-is-left": (
        'command_line = "mem=200M"\n' + NODE,
        "m.toml, line 1: 'command_line' leaves 199M of memory at boot; a kernel needs 256M",
    ),
    "mem-cuts-it-off": (
        'command_line = "mem=64M"\n' + NODE,
        "m.toml, line 1: 'command_line' leaves no room for kernel or initrd; "
        "it lies at 0x4000000-0x47fffff",
    ),
    "no-memory-for-the-map": (
        'command_line = "movable_node"\n[[node]]\nmemory = "4G"\n'
        '[[node]]\nmemory = "1T"\nhotpluggable = true\n',
        "m.toml, line 2: 'node' leaves the kernel 4095M that is not hot-pluggable; "
        "it needs 32G to keep track of 1027G",
    ),
    "kernel-image-nowhere": (
        NODE + '[layout]\nkernel_image = "0xf0000000-0xf0ffffff"\n',
        "m.toml, line 4: 'layout.kernel_image' puts kernel_image at 0xf0000000-0xf0ffffff, where "
        "no memory is; give kernel_image as first and last byte within memory",
    ),
    "initrd-on-the-kernel": (
        NODE + '[layout]\ninitrd = "0x1000000-0x1ffffff"\n',
        "m.toml, line 4: 'layout.initrd' initrd 0x1000000-0x1ffffff overlaps kernel "
        "0x1000000-0x4ffffff; keep them apart",
    ),
    "block-that-is-not-there": (
        NODE + '[[failures.unmovable]]\nblocks = 99\nwhat = "slab: dentry"\n',
        "m.toml, line 4: 'failures.unmovable[0].blocks' names blocks that the machine does not "
        "have at boot; there is memory at 0x0-0xbfffffff (memory0 on), "
        "0x100000000-0x13fffffff (memory32 on)",
    ),
    "pinned-where-nothing-is": (
        NODE + '[[failures.pinned]]\nblocks = 99\nwhat = "x"\n',
        "m.toml, line 4: 'failures.pinned[0].blocks' names blocks that the machine does not "
        "have at boot; there is memory at 0x0-0xbfffffff (memory0 on), "
        "0x100000000-0x13fffffff (memory32 on)",
    ),
    "two-places": (
        NODE + '[[failures.unmovable]]\nblocks = 9\ndimm = "dimm0"\nwhat = "x"\n',
        "m.toml, line 5: 'failures.unmovable[0].dimm' names its place twice; "
        "give one of blocks, addresses, dimm",
    ),
    "no-place": (
        NODE + '[[failures.unmovable]]\nwhat = "x"\n',
        "m.toml, line 3: 'failures.unmovable[0]' names no place; "
        "give one of blocks, addresses, dimm",
    ),
    "unknown-event": (
        NODE + '[[failures.notifier]]\nevent = "MEM_GOING_OFLINE"\nerrno = "EBUSY"\n',
        "m.toml, line 4: 'failures.notifier[0].event' is \"MEM_GOING_OFLINE\"; "
        "did you mean 'MEM_GOING_OFFLINE'? "
        'give "MEM_GOING_ONLINE" or "MEM_GOING_OFFLINE"',
    ),
    "unknown-errno": (
        NODE + '[[failures.notifier]]\nevent = "MEM_GOING_OFFLINE"\nerrno = "EBUSI"\n',
        "m.toml, line 5: 'failures.notifier[0].errno' is no errno; "
        'give its name, as "EBUSY" or "ENOMEM"',
    ),
    "poison-on-a-dimm-that-waits": (
        NODE + DIMM + 'waiting = true\n[[failures.poisoned]]\ndimm = "dimm0"\n',
        "m.toml, line 7: 'failures.poisoned[0].dimm' is not there at boot; DIMMs that are: none",
    ),
    "command-line-of-letters-that-are-none": (
        'command_line = "größe"\n' + NODE,
        "m.toml, line 1: 'command_line' is none; give 2047 ASCII characters at most",
    ),
    "text-of-two-lines": (
        'about = """\nfirst\nsecond"""\n' + NODE,
        "m.toml, line 1: 'about' has a line break or control character; give one line of text",
    ),
    "guest-of-a-guest": (
        NODE + '[guests.a]\n[guests.a.guests.b]\n[[guests.a.node]]\nmemory = "1G"\n',
        "m.toml, line 4: 'guests.a.guests' is not known; known here: about, kernel, "
        "command_line, hypervisor, block_size, node, distances, dimm_slots, dimm, virtio_mem, "
        "layout, proposals, failures, workload",
    ),
    "guest-without-nodes": (
        NODE + "\n[guests.web]\n",
        "m.toml, line 4: 'guests.web' describes 0 nodes; "
        "give 1 to 64 tables [[node]]; the first is node 0",
    ),
    "guest-that-is-no-table": (
        NODE + '[guests]\nweb = "4G"\n',
        "m.toml, line 4: 'guests.web' is \"4G\"; give a table, as [web]",
    ),
    "guests-second-node": (
        NODE + '[guests.web]\n[[guests.web.node]]\nmemory = "1G"\n'
        '[[guests.web.node]]\nmemory = "1X"\n',
        "m.toml, line 7: 'guests.web.node[1].memory' is \"1X\"; "
        'give a size with its unit in quotes, as "4G" or "512MiB"',
    ),
}


@pytest.mark.parametrize(("text", "said"), FAULTS.values(), ids=FAULTS)
def test_fault(text: str, said: str) -> None:
    with pytest.raises(DescriptionError) as caught:
        parse_description(text, "m.toml")
    assert str(caught.value) == said

"""What the pages of `docs/reasons/` say beyond the one sentence of the product: what was observed, why nothing is done, how to get on.

Commands name `fec/<name>` for the cleanup, `appliance/<appliance>` for its appliance, `<volume>`, `<vm>`, `<snapshot>` and `<row>` for the
ids in the message. `cmk` is CloudStack's command line; SQL is for the OMA's database `migratekit_oma`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from failed_execution_cleanup.resources.reasons import Reason


@dataclass(frozen=True, slots=True)
class Explanation:
    """One page.

    Attributes:
        observed: what the operator saw, and where: system, table, column, state.
        why: what could go wrong if it went on.
        clear: how to get on, step by step; a step that begins with `$ ` is a command.
    """

    observed: str
    why: str
    clear: tuple[str, ...] = ()


SHOW: Final = "$ kubectl describe fec/<name>"
SHOW_APPLIANCE: Final = "$ kubectl describe appliance/<appliance>"
AGAIN: Final = "Ask again (below)."
BY_ITSELF: Final = "It is looked at again every five minutes and goes on by itself; asking again makes it look at once."
REPLICATE_IN_FULL: Final = (
    "Run a full replication of the named disks in the product: an incremental one repairs nothing."
)

EXPLANATIONS: Final[dict[Reason, Explanation]] = {
    Reason.CLEANED: Explanation(
        "OSSEA shows every volume on the appliance and no snapshot or VM of the failed job; the daemon has a mapping and an export for "
        "each volume; all rows are closed and the context is `ready_for_failover`.",
        "It is the end. What could not or must not be removed is listed in `status.leftovers`.",
        (SHOW,),
    ),
    Reason.ALREADY_CLEAN: Explanation(
        "The first observation showed all four goals reached, so nothing was claimed or written.",
        "It is the end.",
    ),
    Reason.NOTHING_TO_DO: Explanation(
        "`failover_jobs` has no row of this VM, and `job_tracking` no open failover of it.",
        "There is nothing to be cleaned up. A failover that died before its first row left nothing behind.",
        ("Compare `spec.vmName` with the name in vCenter, letter by letter.",),
    ),
    Reason.SUPERSEDED: Explanation(
        "`failover_jobs` has a newer row than the job this cleanup is bound to (`status.failedJob.id`).",
        "What the older job left may be in use by the newer one by now.",
        ("Create a new resource if the newer failover failed as well.", "$ kubectl delete fec/<name>"),
    ),
    Reason.PROGRESSING: Explanation(
        "Requests are on their way, or the next one is about to be sent; `status.phases` and `status.volumes` tell which.",
        "It is at work.",
        ("$ kubectl get fec/<name> --watch",),
    ),
    Reason.PROGRESSING_WITH_RETRY: Explanation(
        "An action was executed and OSSEA does not show its effect.",
        "It is tried again after a pause that doubles, as often as `spec.limits.tries` of the appliance says; then a person is asked.",
        ("$ kubectl get fec/<name> -o jsonpath='{.status.nextAttemptAt}{\"\\n\"}'",),
    ),
    Reason.QUEUED: Explanation(
        "As many cleanups of this appliance are at work as its `spec.limits.cleanups` allows.",
        "More at once would fight for the cloud's queues.",
        ("$ kubectl get fec -A -o wide",),
    ),
    Reason.FAILOVER_STILL_RUNNING: Explanation(
        "The newest step, log line or row of the failover, of its rollback or of a product cleanup of this VM is younger than "
        "`spec.detection.stuckAfterSeconds` of the appliance (`finalSyncStuckAfterSeconds` in a final sync; an hour more around a change "
        "of daylight saving).",
        "The product has no heartbeat. A slow driver injection looks like a dead one, and taking its disk away would corrupt it.",
        (
            "Nothing: it goes on when the job was silent for long enough; `status.nextAttemptAt` says when.",
            "$ kubectl get fec/<name> -o jsonpath='{.status.nextAttemptAt}{\"\\n\"}'",
        ),
    ),
    Reason.REPLICATION_ACTIVE: Explanation(
        "`replication_jobs` has a row of this VM that is not in a final status and showed life a short while ago.",
        "A replication writes to the same volumes. Detaching or reverting them would lose what it writes.",
        ("Wait until it ends, or cancel it in the product. It goes on by itself.",),
    ),
    Reason.OPERATION_IN_FLIGHT: Explanation(
        "Somebody else's work on one of the objects has not ended: a Volume Daemon operation younger than "
        "`spec.settle.operationSeconds`, a pending OSSEA job, a VM or volume in a state of transition, or another job of this VM.",
        "What is in flight may still change where the volume is. Two requests at once on one volume are how volumes get lost.",
        (
            "Wait: it goes on by itself. A state of transition that lasts for more than an hour without a job becomes `UnexpectedState`.",
            "$ cmk list asyncjobs",
        ),
    ),
    Reason.CLAIMED_ELSEWHERE: Explanation(
        "Another cleanup of this VM has a claim with a living heartbeat (a row in `job_tracking`, operation `failed-execution-cleanup`), "
        "or another process holds the VM's lock in the database.",
        "Only one may send requests for a VM.",
        ("Wait until it ends, or suspend or delete the other cleanup.", "$ kubectl get fec -A"),
    ),
    Reason.APPLIANCE_UNREACHABLE: Explanation(
        "The database, the Volume Daemon, OSSEA or the Appliance resource could not be read.",
        "An error is an error: nothing that was not seen counts as gone or detached.",
        (SHOW_APPLIANCE, "Mend what its condition names. Nothing is lost meanwhile, and it goes on by itself."),
    ),
    Reason.OUTSIDE_WINDOW: Explanation(
        "The time is outside of `spec.detection.windows` of the appliance.",
        "Cleanups that nobody asked for begin only in these hours.",
        ("Wait for the window, or ask for it (below).",),
    ),
    Reason.QUIET_TIME: Explanation(
        "The engine did not end the failed job itself, and the last detach or change is younger than `spec.settle.quietSeconds`; or a "
        "revert ended without a result and its copy may still be running (`revertQuietSeconds`, `revertSecondsPerGiB`).",
        "An engine that wakes up shows itself within that time. A second writer on a volume that is still being copied destroys it.",
        ("$ kubectl get fec/<name> -o jsonpath='{.status.nextAttemptAt}{\"\\n\"}'",),
    ),
    Reason.SUSPENDED: Explanation(
        "`spec.suspend` is true, or the annotation `failover.ossea.io/suspended` is set.",
        "What was in flight was finished, reverted volumes were brought home, and the claim was released. Volumes that are still away "
        "are named in the message.",
        (
            '$ kubectl patch fec/<name> --type merge -p \'{"spec": {"suspend": false}}\'',
            "$ kubectl annotate fec/<name> failover.ossea.io/suspended-",
        ),
    ),
    Reason.PLAN_READY: Explanation(
        "`spec.mode` is Plan, and the plan is in `status.plan`.",
        "Nothing is touched before somebody approves it.",
        (
            "$ kubectl get fec/<name> -o yaml",
            '$ kubectl annotate --overwrite fec/<name> failover.ossea.io/approvedPlan="$(kubectl get fec/<name> -o '
            "jsonpath='{.status.planHash}')\"",
        ),
    ),
    Reason.AWAITING_APPROVAL: Explanation(
        "The world changed since a plan was approved: what is to be done now is not in it. `status.plan` shows the present plan.",
        "Whoever approved the plan did not agree to this.",
        (
            "$ kubectl get fec/<name> -o yaml",
            '$ kubectl annotate --overwrite fec/<name> failover.ossea.io/approvedPlan="$(kubectl get fec/<name> -o '
            "jsonpath='{.status.planHash}')\"",
        ),
    ),
    Reason.DRIFT_NEEDS_REVERT: Explanation(
        "A goal that this cleanup had reached does not hold any more, `spec.driftPolicy` is Correct, and a product-made snapshot of a "
        "volume is there again that would have to be reverted.",
        "Nobody asked for this run. Whatever was written to the volume since the cleanup ended would be lost.",
        (
            "Look at the condition Drifted and at the volume. If nothing written since is needed: ask again (below).",
            SHOW,
        ),
    ),
    Reason.NOTHING_FAILED: Explanation(
        "`failover_jobs.status` is `completed`, no rollback began after it, and its VM is Running or holds a volume.",
        "The VM is what the failover was for. Cleaning it up would destroy a machine that somebody uses.",
        ("Roll the failover back in the product.", "If its rollback fails, ask again: then it is a failed failover."),
    ),
    Reason.LIVE_FAILOVER: Explanation(
        "A live failover of the incident has a destination VM in OSSEA, or a volume that is not on the appliance.",
        "Production may run there: the source VM was switched off by the failover.",
        (
            "Find out whether the named VM serves anybody, and whether the source VM runs again.",
            "If production does not depend on it, waive this stop (below).",
        ),
    ),
    Reason.RUNNING_TEST_VM: Explanation(
        "OSSEA shows a VM of the incident in state Running.",
        "Somebody may be testing on it; what it wrote is discarded and the VM destroyed. The VM of a live failover cannot be waived "
        "at all.",
        (
            "Ask who uses it. Then stop it and ask again, or waive this stop (below). A stop alone is no consent.",
            "$ cmk stop virtualmachine id=<vm>",
        ),
    ),
    Reason.ENGINE_MAY_WAKE: Explanation(
        "`failover_jobs.status` of a live failover is neither `completed` nor `failed`.",
        "The engine of a live failover goes on after a failed driver injection. It could attach volumes and start a VM while they are "
        "reverted.",
        (
            "Restart the OMA API on the appliance, so that no engine is left, and set the row to `failed`; or waive this stop (below).",
            "$ mysql migratekit_oma -e \"UPDATE failover_jobs SET status='failed' WHERE job_id='<row>' AND status='pending'\"",
        ),
    ),
    Reason.ZOMBIE_JOB: Explanation(
        "A row of `replication_jobs`, or of `job_tracking` for something that is no failover, rollback or cleanup, is open without a "
        "sign of life for `spec.detection.stuckAfterSeconds`.",
        "Only a person can tell a dead job from a very slow one that still writes.",
        (
            "Make sure that no process works for it, then end it in the product; or waive this stop for the row's id (below).",
            "$ mysql migratekit_oma -e \"SELECT id, status, updated_at FROM replication_jobs WHERE id='<row>'\"",
        ),
    ),
    Reason.SNAPSHOT_MISSING: Explanation(
        "Driver injection or the start of the VM began, so the volume may hold other data than the replica, and OSSEA shows no BackedUp "
        "snapshot of the failover that is younger than the disk's last stored sync.",
        "Without a restore point nobody can put the content right. Attached as it is, incremental replication would build on it.",
        (
            "Look for the snapshot: `$ cmk list snapshots volumeid=<volume>`.",
            "Restore it in the storage if it can be restored.",
            f"Otherwise accept the content (below) and then: {REPLICATE_IN_FULL}",
        ),
    ),
    Reason.REVERT_IMPOSSIBLE: Explanation(
        "OSSEA says `revertable: false` of the restore point, or its size differs from the volume's.",
        "The storage would refuse, or the volume would change its size.",
        (
            "$ cmk list snapshots id=<snapshot>",
            "Let the storage's administrator mend it. " + BY_ITSELF,
            f"Otherwise accept the content (below) and then: {REPLICATE_IN_FULL}",
        ),
    ),
    Reason.REVERT_FAILING: Explanation(
        "As many reverts to the restore point as `spec.limits.tries` says ended without `jobstatus` 1; the last error is in the message.",
        "A revert that did not end well leaves undefined content. The volume stays detached and its snapshot is kept.",
        (
            "$ cmk list snapshots id=<snapshot>",
            "Mend the storage. " + AGAIN,
            f"Otherwise accept the content (below) and then: {REPLICATE_IN_FULL}",
        ),
    ),
    Reason.DETACH_FAILING: Explanation(
        "As many detaches as `spec.limits.tries` says ended without effect: OSSEA still shows the volume on its VM.",
        "A process holds the disk, often `virt-v2v-in-place` of the hung driver injection; while it runs it writes.",
        (
            "On the appliance find the process and end it: `$ fuser -v /dev/disk/by-id/virtio-<first 20 digits of the volume's id>`",
            "$ ps aux | grep virt-v2v",
            AGAIN,
        ),
    ),
    Reason.ATTACH_FAILING: Explanation(
        "As many attaches, or exports, as `spec.limits.tries` says ended without effect. The volume holds the replica and is named in "
        "the message; nothing is lost.",
        "The appliance has no free PCI slot, its by-id link does not appear, or the daemon cannot make the NBD export.",
        (
            "On the appliance: `$ ls -l /dev/disk/by-id/` and `$ journalctl -u volume-daemon`",
            "Free a slot: detach volumes of VMs that are not replicated any more.",
            AGAIN,
        ),
    ),
    Reason.STOP_FAILING: Explanation(
        "The guest did not shut down within `spec.testVM.stopTimeoutSeconds` and the stop's OSSEA job is still pending; or as many stops "
        "as `spec.limits.tries` says ended and the VM runs.",
        "While the graceful stop is pending no other one is sent: a forced stop beside it may only mark the VM Stopped while the guest "
        "still writes. A stop is forced only if the appliance allows it, after the graceful one has ended, on a host that answers.",
        (
            "Shut the guest down in its console: `$ cmk create consoleendpoint virtualmachineid=<vm>`. It goes on by itself.",
            "Or let an administrator allow force: `$ kubectl patch appliance/<appliance> --type merge -p "
            '\'{"spec": {"testVM": {"forceStop": "Allowed"}}}\'`',
            "Where all tries are used up: ask again (below).",
        ),
    ),
    Reason.UNKNOWN_HOLDER: Explanation(
        "OSSEA shows the volume on a VM that is neither the appliance nor of the incident.",
        "Somebody attached it there by hand; detaching it under a running guest loses data.",
        ("Ask who did it, stop that VM or unmount the disk, then `$ cmk detach volume id=<volume>`.", BY_ITSELF),
    ),
    Reason.RESCUE_NEEDED: Explanation(
        "OSSEA shows a Destroyed VM whose root disk (device 0) is one of the replicated volumes.",
        "When the VM is expunged (by default `expunge.delay`, 86400 s after the destroy) the volume is deleted with it.",
        (
            "Now: `$ cmk recover virtualmachine id=<vm>`",
            "The cleanup detaches the volume by itself once the VM is Stopped.",
        ),
    ),
    Reason.VOLUME_MISSING: Explanation(
        "`ossea_volumes`, `vm_disks` or `device_mappings` refers to a volume that OSSEA does not show, or that is not of this VM.",
        "Going on would declare a VM ready whose disk is gone.",
        (
            "$ cmk list volumes id=<volume> listall=true",
            "In state Destroy it can be had back: `$ cmk recover volume id=<volume>`",
            "Otherwise remove the disk or the VM in the product, or correct the row. " + BY_ITSELF,
        ),
    ),
    Reason.UNEXPECTED_STATE: Explanation(
        "A column or an object has a value outside of the list for which the safe action is known, or a VM or volume has been in a state "
        "of transition for more than an hour without any job at work on it (CloudStack gives its own jobs up after an hour). The message "
        "names object, column and value.",
        "Guessing what a state nobody has seen means is how volumes get lost.",
        ("Look at the named object; bring it into an ordinary state or correct the row. " + BY_ITSELF,),
    ),
    Reason.VM_SNAPSHOTS_PRESENT: Explanation(
        "`listVMSnapshot` shows a snapshot of a whole VM: of the appliance, or of a VM of the incident.",
        "CloudStack refuses to attach and detach while it exists, in the middle of the work.",
        ("$ cmk delete vmsnapshot vmsnapshotid=<snapshot>", BY_ITSELF),
    ),
    Reason.HOST_UNKNOWN: Explanation(
        "The host of a Running VM is not Up.",
        "The guest may go on writing although OSSEA calls the VM Stopped; a revert would then be overwritten.",
        (
            "Bring the host up, or make sure that it is switched off and stop the VM. " + BY_ITSELF,
            "$ cmk list hosts type=Routing",
        ),
    ),
    Reason.AMBIGUOUS_VM: Explanation(
        "`vm_replication_contexts` has several rows with this VM name, under different vCenters.",
        "The wrong one could be taken.",
        ('$ kubectl patch fec/<name> --type merge -p \'{"spec": {"vcenterHost": "<vcenter>"}}\'',),
    ),
    Reason.UNKNOWN_VM: Explanation(
        "`vm_replication_contexts` has no row with this VM name.",
        "There is nothing to look at. Blanks and capitals count.",
        (
            "Create a new resource with the right name or appliance: both cannot be changed.",
            "$ kubectl delete fec/<name>",
        ),
    ),
    Reason.JOB_MISMATCH: Explanation(
        "`spec.failoverJobID` is no job of this VM, or not the one that this cleanup was bound to at its first observation.",
        "A cleanup never changes from one job to another.",
        ("Create a new resource for the other job.", "$ kubectl delete fec/<name>"),
    ),
    Reason.APPLIANCE_INCONSISTENT: Explanation(
        "`ossea_configs` does not have exactly one active row, `oma_vm_id` names a VM that OSSEA does not show or another one than "
        "`spec.omaVMID`, or an older Appliance uses the same database.",
        "Where the volumes belong is not known.",
        (
            "$ mysql migratekit_oma -e 'SELECT id, name, oma_vm_id, is_active FROM ossea_configs'",
            SHOW_APPLIANCE,
            "An administrator corrects the row or the resource. " + BY_ITSELF,
        ),
    ),
    Reason.NOT_PERMITTED: Explanation(
        "The cleanup's namespace is not in `spec.allowedNamespaces` of the appliance, or a waiver's reason is not in `spec.waivers`.",
        "Administrators say who may use an appliance and which stops may be waived on it.",
        (SHOW_APPLIANCE, "An administrator extends the list, or the cleanup moves or drops the waiver. " + BY_ITSELF),
    ),
    Reason.REPLICA_NOT_CONSISTENT: Explanation(
        "The newest replication that wrote something did not end `completed`, or none ever did. All else is done; the context is "
        "`failed`, so that replication may run.",
        "The volumes hold parts of two moments. A failover from them would start a broken machine.",
        ("Replicate the VM in the product.", AGAIN),
    ),
    Reason.CLEANED_DATA_SUSPECT: Explanation(
        "A volume may hold other data than the replica and nothing puts it right: the product's own rollback or cleanup could not revert "
        "it and removed its snapshot, its content was accepted by a waiver, or the snapshot itself was taken of such content by a later "
        "failover. All else is done; the context is `failed`, so that replication may run.",
        "Incremental replication transfers what changed at the source, so it would never overwrite what was changed here.",
        (REPLICATE_IN_FULL, AGAIN),
    ),
    Reason.DEADLINE_EXCEEDED: Explanation(
        "The cleanup was not finished `spec.deadlineSeconds` after its first request; suspension is not counted. The action in flight "
        "was finished, reverted volumes were brought home, and the claim was released.",
        "Somebody should look at what takes so long.",
        (SHOW, '$ kubectl patch fec/<name> --type merge -p \'{"spec": {"deadlineSeconds": 28800}}\'', AGAIN),
    ),
    Reason.SUPERSEDED_IN_RUN: Explanation(
        "A newer failover of this VM began while the older one was being cleaned up.",
        "From then on the volumes are the newer failover's.",
        (
            "Look at the volumes named in the message: where they are, and whether the newer failover works with them.",
            "Create a new resource for the newer failover if it failed as well.",
        ),
    ),
}
"""One for each reason of `Ready`; a test compares the two lists."""

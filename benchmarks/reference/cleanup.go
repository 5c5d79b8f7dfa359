package main

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// FailedExecutionCleanup holds the fields that the reference looks at; the rest is not kept in its cache.
type FailedExecutionCleanup struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              Spec   `json:"spec,omitempty"`
	Status            Status `json:"status,omitempty"`
}

// Spec names the VM.
type Spec struct {
	VMName string `json:"vmName"`
}

// Status is as the operator's own, as far as it is looked at.
type Status struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
}

// FailedExecutionCleanupList is a page of them.
type FailedExecutionCleanupList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []FailedExecutionCleanup `json:"items"`
}

// DeepCopy copies everything that is not a plain value.
func (c *FailedExecutionCleanup) DeepCopy() *FailedExecutionCleanup {
	copied := *c
	c.ObjectMeta.DeepCopyInto(&copied.ObjectMeta)
	copied.Status.Conditions = slices.Clone(c.Status.Conditions)
	return &copied
}

// DeepCopyObject makes it a runtime.Object.
func (c *FailedExecutionCleanup) DeepCopyObject() runtime.Object { return c.DeepCopy() }

// DeepCopyObject makes it a runtime.Object.
func (l *FailedExecutionCleanupList) DeepCopyObject() runtime.Object {
	copied := *l
	l.ListMeta.DeepCopyInto(&copied.ListMeta)
	copied.Items = make([]FailedExecutionCleanup, len(l.Items))
	for i := range l.Items {
		copied.Items[i] = *l.Items[i].DeepCopy()
	}
	return &copied
}

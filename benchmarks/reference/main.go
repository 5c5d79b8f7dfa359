// The least that a controller-runtime controller has to do for the same resources: watch them all, leave finished ones alone, and give
// every other one a status.
package main

import (
	"context"
	"flag"
	"os"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const ready = "Ready"

// reconciler gives a resource its Ready condition unless it has one for its generation.
type reconciler struct{ client.Client }

func (r reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var cleanup FailedExecutionCleanup
	if err := r.Get(ctx, request.NamespacedName, &cleanup); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if found := meta.FindStatusCondition(cleanup.Status.Conditions, ready); found != nil && found.ObservedGeneration == cleanup.Generation {
		return ctrl.Result{}, nil
	}
	before := cleanup.DeepCopy()
	cleanup.Status.ObservedGeneration = cleanup.Generation
	meta.SetStatusCondition(&cleanup.Status.Conditions, metav1.Condition{
		Type:               ready,
		Status:             metav1.ConditionFalse,
		Reason:             "NotPermitted",
		Message:            "the appliance may not be used from this namespace",
		ObservedGeneration: cleanup.Generation,
	})
	return ctrl.Result{}, client.IgnoreNotFound(r.Status().Patch(ctx, &cleanup, client.MergeFrom(before)))
}

func run(namespace string, workers int) error {
	ctrl.SetLogger(klog.Background())
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	config.QPS = -1 // the Python operator has no limit of its own either
	scheme := runtime.NewScheme()
	version := schema.GroupVersion{Group: "failover.ossea.io", Version: "v1alpha1"}
	scheme.AddKnownTypes(version, &FailedExecutionCleanup{}, &FailedExecutionCleanupList{})
	metav1.AddToGroupVersion(scheme, version)
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:  scheme,
		Cache:   cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}},
		Metrics: server.Options{BindAddress: "0"},
	})
	if err != nil {
		return err
	}
	err = ctrl.NewControllerManagedBy(manager).
		For(&FailedExecutionCleanup{}).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Complete(reconciler{manager.GetClient()})
	if err != nil {
		return err
	}
	return manager.Start(ctrl.SetupSignalHandler())
}

func main() {
	namespace := flag.String("namespace", "default", "namespace of the cleanups")
	workers := flag.Int("workers", 32, "resources looked at side by side")
	flag.Parse()
	if err := run(*namespace, *workers); err != nil {
		klog.ErrorS(err, "Ended")
		os.Exit(1)
	}
}

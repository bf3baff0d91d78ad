// Reads Kubernetes manifests from standard input and holds each against the types of its API: an unknown field, a field
// twice, or a value of a wrong type ends it. Prints kind and name of each object.
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func object(kind string) any {
	switch kind {
	case "v1 Namespace":
		return &core.Namespace{}
	case "v1 ConfigMap":
		return &core.ConfigMap{}
	case "v1 Service":
		return &core.Service{}
	case "apps/v1 Deployment":
		return &apps.Deployment{}
	case "policy/v1 PodDisruptionBudget":
		return &policy.PodDisruptionBudget{}
	case "autoscaling/v2 HorizontalPodAutoscaler":
		return &autoscaling.HorizontalPodAutoscaler{}
	case "networking.k8s.io/v1 NetworkPolicy":
		return &networking.NetworkPolicy{}
	case "monitoring.coreos.com/v1 ServiceMonitor":
		return &monitoring.ServiceMonitor{}
	}
	return nil
}

func check(text []byte) error {
	var head struct {
		meta.TypeMeta `json:",inline"`
		Metadata      meta.ObjectMeta `json:"metadata"`
	}
	if err := yaml.Unmarshal(text, &head); err != nil {
		return err
	}
	kind := head.APIVersion + " " + head.Kind
	into := object(kind)
	if into == nil {
		return fmt.Errorf("%q is not known here", kind)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		return fmt.Errorf("%s %s: %w", kind, head.Metadata.Name, err)
	}
	if head.Metadata.Name == "" {
		return fmt.Errorf("a %s has no name", kind)
	}
	fmt.Println(kind, head.Metadata.Name)
	return nil
}

func main() {
	text, err := io.ReadAll(os.Stdin)
	failed := err != nil
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		if strings.TrimSpace(string(document)) == "" {
			continue
		}
		if err := check(document); err != nil {
			fmt.Fprintln(os.Stderr, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

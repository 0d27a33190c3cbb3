package volumes

import (
	"path/filepath"

	v1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/storage/ephemeral"

	"podrun/claims"
)

// claim makes the named volume unless it exists. Its mode is that of
// local-path-provisioner, 0777, so that a server of any user can use it.
// readOnly in the claim's source makes every mount of it read-only. Remove
// leaves it alone; only claims.Remove ends it.
func (s *Spec) claim(name string, source *v1.PersistentVolumeClaimVolumeSource) (volume, error) {
	if err := claims.CheckName(source.ClaimName); err != nil {
		return volume{}, err
	}
	path, err := makeDirectory(filepath.Join(s.Claims, source.ClaimName), claims.Data, noGroup)
	if err == nil && !source.ReadOnly {
		err = s.giveToGroup(name, path)
	}
	return volume{path: path, readOnly: source.ReadOnly}, err
}

// ephemeral is a claim that belongs to the pod: whoever made it has seen to that.
func (s *Spec) ephemeral(v *v1.Volume) (volume, error) {
	made, err := s.claim(v.Name, &v1.PersistentVolumeClaimVolumeSource{ClaimName: ephemeral.VolumeClaimName(s.Pod, v)})
	made.own = true
	return made, err
}
